/** Values of the chart, from files and from --set: refused as wrong use, or rendered. The first line is a --set argument. */
import { InstallError } from "../../../src/install/errors.ts";
import { givenValues, renderChart } from "../../../src/install/render.ts";
import { bytesOf, promise, type Target, unlessRefused } from "../target.ts";

const EXAMPLES = [
  "mesh.mode=strict\nmesh:\n  podCidrs: [10.0.0.0/8]\n",
  "imagePullSecrets[0].name=pull,networkPolicy.enabled=true\nnamespace: {create: true}\n",
  "mesh.podCidrs={10.0.0.0/8,fd00::/8}\noperator: {replicas: 3}\n",
  "a\\.b=1\n# nothing\n",
];

export const target: Target = {
  examples: EXAMPLES.map(bytesOf),
  longest: 400,
  tokens: [
    ..."= . [0] [999] , { } \\ null true -1 1e3 : ~ *a &a <<: | ' \" $ {{ }} \n__proto__ constructor".split(" "),
    ..."mesh. mode replicas image resources requests cpu nodeSelector tolerations affinity podAnnotations".split(" "),
    "\n",
    "  ",
    "- ",
  ].map(bytesOf),
  run(input) {
    const [set = "", ...lines] = new TextDecoder().decode(input).split("\n");
    const refused = (error: unknown) =>
      error instanceof InstallError && /^bad-(values|set)$/.test(error.code) && error.exitCode === 2;
    const sources = { files: [{ name: "values.yaml", text: lines.join("\n") }], ...(set === "" ? {} : { set: [set] }) };
    const values = unlessRefused(() => givenValues(sources), refused);
    if (values === undefined) return;
    const objects = unlessRefused(() => renderChart(values, "tulle-system"), refused);
    for (const { kind, metadata } of objects ?? [])
      promise(kind !== "" && metadata.name !== "", "an object has kind and name");
  },
};
