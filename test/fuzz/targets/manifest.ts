/** Manifests: refused with a reason or meshed; and uninjecting gives every byte back. */
import { InjectError, injectManifest, uninjectManifest } from "../../../src/inject/index.ts";
import { CORPUS, PROBED } from "../../../src/inject/manifests.fixture.ts";
import { bytesOf, same, type Target, unlessRefused } from "../target.ts";

const CONFIG = {
  image: "tulle:1",
  version: "1",
  trustDomain: "cluster.local",
  operatorAddress: "tulle-operator.tulle-system.svc:15012",
};
const refused = (error: unknown) => error instanceof InjectError;

export const target: Target = {
  examples: [...CORPUS, ...PROBED].map(([, text]) => bytesOf(text)),
  tokens: [
    ..."\n|\r\n|---\n|...\n|: |? |- |  |# x\n|&a |*a|!!str |>-\n|[|]|{|}|,|'|\"|<<: ||\n|%YAML 1.1\n|\t|~|null".split(
      "|",
    ),
    ..."kind: Pod|kind: List\nitems:\n|initContainers:|volumes:|metadata:|annotations:|spec:|containers:".split("|"),
    ..."livenessProbe:|httpGet:|tcpSocket: {port: 80}|tulle-proxy|tulle-init|tulle.dev/inject: disabled".split("|"),
  ]
    .filter((token) => token !== "")
    .map(bytesOf),
  run(input) {
    const text = new TextDecoder().decode(input);
    unlessRefused(() => uninjectManifest(text), refused);
    const injected = unlessRefused(() => injectManifest(text, CONFIG), refused);
    if (injected === undefined) return;
    const meshed = injected.results.filter(({ outcome }) => outcome === "injected");
    if (meshed.length === 0) {
      same(injected.text, text, "a text of which nothing was meshed");
      return;
    }
    const again = injectManifest(injected.text, CONFIG);
    same(again.text, injected.text, "a meshed text injected again");
    if (injected.results.some(({ outcome }) => outcome === "already")) return;
    const back = uninjectManifest(injected.text);
    same(
      back.results.map(({ outcome }) => outcome).filter((outcome) => outcome === "reprinted"),
      [],
      "what had to be printed anew",
    );
    same(back.text, text, "the text given back");
  },
};
