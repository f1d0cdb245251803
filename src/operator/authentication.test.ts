import { afterEach, beforeEach, expect, test } from "bun:test";
import { connect } from "node:http2";
import { OPERATOR_HOST } from "../mesh/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { podRecord } from "../testkit/mesh-records.ts";
import { OperatorStage } from "../testkit/operator-stage.ts";
import { METHODS } from "../wire/index.ts";
import { Authentication } from "./authentication.ts";
import { Callers } from "./callers.ts";
import { Refusal } from "./errors.ts";

let stage: OperatorStage;
beforeEach(() => {
  stage = new OperatorStage();
});
afterEach(() => stage[Symbol.dispose]());

/** A call whose message is announced with 4 MiB and never ends. */
async function unfinished(token: string): Promise<{ status: string | undefined; millis: number }> {
  const session = connect(`https://127.0.0.1:${stage.operator.port}`, {
    ca: stage.authority.bundle().pem(),
    servername: OPERATOR_HOST,
  });
  session.on("error", () => undefined);
  try {
    const call = session.request({
      ":method": "POST",
      ":path": METHODS.createCertificate.path,
      "content-type": "application/grpc",
      te: "trailers",
      authorization: `Bearer ${token}`,
    });
    call.on("error", () => undefined);
    const began = performance.now();
    const answered = new Promise<string | undefined>((resolve) => {
      call.on("response", (head) => {
        if (head["grpc-status"] !== undefined) resolve(String(head["grpc-status"]));
      });
      call.on("trailers", (trailers) => resolve(String(trailers["grpc-status"])));
      call.on("close", () => resolve(undefined));
      setTimeout(() => resolve(undefined), 1_000);
    });
    call.write(Buffer.from([0, 0, 0x40, 0, 0]));
    call.write(Buffer.alloc(100_000));
    return { status: await answered, millis: performance.now() - began };
  } finally {
    session.destroy();
  }
}

test("a stranger is refused on the headers alone, whatever message he began", async () => {
  expect((await unfinished("nobody")).status).toBe("16");
});

test("a known caller's message is waited for", async () => {
  expect((await unfinished(stage.add(podRecord("web", "10.244.0.5")))).status).toBeUndefined();
});

test("what strangers provoke does not fill the log: 50 lines at once, and the next one counts the rest", () => {
  const clock = new FakeClock();
  const logger = new MemoryLogger();
  const { pods, reviewer, authority } = stage;
  const authentication = new Authentication(new Callers(reviewer, pods, authority.trustDomain), logger, clock);
  const refuse = () => authentication.refused("x", "10.0.0.1", new Refusal("UNAUTHENTICATED", "token-invalid", "no"));
  for (let i = 0; i < 60; i++) refuse();
  expect(logger.of("call refused")).toHaveLength(50);
  clock.advance(100);
  refuse();
  expect(logger.of("call refused").at(-1)?.fields["suppressed"]).toBe(10);
});
