/** `tulle rotate leaf`: every proxy asks for a new certificate, and the command answers when all have one in use. */
import { Command } from "commander";
import { LocalError, PlayClient } from "../local/index.ts";

const WAIT_MILLIS = 30_000;
const POLL_MILLIS = 50;

export function rotateCommand(): Command {
  const rotate = new Command("rotate")
    .summary("make every proxy take a new certificate with a new key")
    .description("Renews what the mesh of a running play has issued, before its time.")
    .addHelpText("after", "\nExample:\n  tulle rotate leaf");
  rotate
    .command("leaf")
    .summary("the certificates of the pods")
    .description(
      "Each proxy asks for a new certificate with a new key within two seconds. Open connections go on, new handshakes\n" +
        "use the new one. Answers when every proxy that reports has it in use.",
    )
    .addHelpText("after", "\nExample:\n  tulle rotate leaf")
    .action(async () => {
      const client = await PlayClient.find(process.env);
      const { epoch } = await client.reissue();
      const tty = process.stdout.isTTY === true;
      for (const until = Date.now() + WAIT_MILLIS; ; await Bun.sleep(POLL_MILLIS)) {
        const { proxies, waiting } = await client.reissued(epoch);
        const done = proxies - waiting.length;
        if (tty) process.stdout.write(`\r${done} of ${proxies} proxies have a new certificate`);
        if (waiting.length === 0) {
          process.stdout.write(tty ? "\n" : `${done} of ${proxies} proxies have a new certificate\n`);
          return;
        }
        if (Date.now() < until) continue;
        if (tty) process.stdout.write("\n");
        const named = waiting.slice(0, 10).join(", ");
        const more = waiting.length > 10 ? ` and ${waiting.length - 10} more` : "";
        throw new LocalError("laggards", `no new certificate after ${WAIT_MILLIS / 1000} s: ${named}${more}`, {
          hint: "see `tulle logs -n NAMESPACE POD -c tulle-proxy`; they keep the certificate that they have",
        });
      }
    });
  return rotate;
}
