/**
 * The room table of ARCHITECTURE.md as rules: who may import whom under src/.
 * A room is entered through its `index.ts` only; `cli/` composes, `testkit/` is imported by tests only.
 */
const MAY_IMPORT = {
  mesh: [],
  identity: ["mesh"],
  tunnel: ["mesh"],
  wire: ["mesh"],
  capture: ["mesh"],
  inject: ["mesh"],
  kube: ["mesh"],
  status: ["mesh", "inject"],
  install: ["mesh", "inject", "status", "kube"],
  proxy: ["mesh", "identity", "tunnel", "wire", "capture"],
  operator: ["mesh", "identity", "wire"],
  local: ["mesh", "identity", "wire", "inject", "status", "capture", "operator"],
  cluster: ["mesh", "identity", "wire", "inject", "operator", "kube"],
  cli: ["mesh", "identity", "tunnel", "wire", "capture", "inject", "status", "kube", "install", "proxy", "operator", "local", "cluster"],
};
/** Rooms that know nothing of sockets, files, processes or the machine's clock. */
const PURE = ["mesh", "identity", "tunnel", "wire", "inject", "status"];
const TEST = "(\\.(test|fixture)\\.ts$|^src/testkit/|/testdata/)";

const rooms = Object.keys(MAY_IMPORT).map((room) => ({
  name: `room-${room}`,
  comment: `src/${room}/ may import ${MAY_IMPORT[room].join(", ") || "no other room"} (ARCHITECTURE.md)`,
  severity: "error",
  from: { path: `^src/${room}/`, pathNot: TEST },
  to: { path: "^src/", pathNot: [`^src/${room}/`, ...MAY_IMPORT[room].map((other) => `^src/${other}/`)].concat(room === "cli" ? ["^src/cli/"] : []) },
}));

const faces = Object.keys(MAY_IMPORT)
  .filter((room) => room !== "cli")
  .map((room) => ({
    name: `face-${room}`,
    comment: `src/${room}/ is entered through its index.ts`,
    severity: "error",
    from: { path: "^src/", pathNot: [`^src/${room}/`, TEST] },
    to: { path: `^src/${room}/`, pathNot: `^src/${room}/index\\.ts$` },
  }));

export default {
  forbidden: [
    ...rooms,
    ...faces,
    {
      name: "pure",
      comment: "pure rooms compose nothing of the machine: sockets, files, processes and clocks are passed in",
      severity: "error",
      from: { path: `^src/(${PURE.join("|")})/`, pathNot: TEST },
      to: { path: "^(node:)?(fs|net|tls|http|https|http2|child_process|os|dgram|dns|worker_threads|timers)(/|$)|^bun(:|$)" },
    },
    {
      name: "light-proxy",
      comment: "the sidecar must not load grpc-js, YAML, the Kubernetes client or the command-line code of other roles (memory)",
      severity: "error",
      from: { path: "^src/(proxy|tunnel|identity|wire|capture|mesh)/", pathNot: TEST },
      to: { path: "node_modules/(@grpc|@kubernetes|yaml|dns-packet|commander)/", reachable: true },
    },
    {
      name: "testkit",
      comment: "fakes are for tests",
      severity: "error",
      from: { path: "^src/", pathNot: TEST },
      to: { path: "^src/testkit/" },
    },
    { name: "no-circular", severity: "error", from: { path: "^src/", pathNot: "^src/wire/gen/" }, to: { circular: true } },
    { name: "resolvable", severity: "error", from: { path: "^src/" }, to: { couldNotResolve: true, pathNot: "^bun" } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    // Tests may use `using`, which the parser does not know; no rule concerns them.
    exclude: { path: "\\.test\\.ts$" },
    tsPreCompilationDeps: true,
    parser: "swc",
    tsConfig: { fileName: "tsconfig.json" },
    builtInModules: { add: ["bun", "bun:ffi", "bun:test"] },
    enhancedResolveOptions: { exportsFields: ["exports"], extensions: [".ts", ".js", ".json"], conditionNames: ["import", "node", "default"] },
  },
};
