/**
 * A mutating admission webhook that gives every pod a native sidecar and says so with a label. It runs beside the tests and
 * in a pod: `webhook.ts PORT CERTIFICATE-FILE KEY-FILE`, and prints the port on which it listens.
 */
interface Review {
  readonly request: {
    readonly uid: string;
    readonly object: { readonly spec: { readonly initContainers?: readonly unknown[] } };
  };
}

const SIDECAR = {
  name: "injected",
  image: "busybox:local",
  restartPolicy: "Always",
  command: ["sh", "-c", "echo injected sidecar runs; exec sleep 1000000"],
};

const [port, certificate = "", key = ""] = process.argv.slice(2);

const server = Bun.serve({
  port: Number(port),
  hostname: "::",
  tls: { cert: Bun.file(certificate), key: Bun.file(key) },
  fetch: async (request) => {
    const { uid, object } = ((await request.json()) as Review).request;
    const present = object.spec.initContainers !== undefined;
    const patch = [
      { op: "add", path: "/metadata/labels/mutated-by", value: "webhook" },
      present
        ? { op: "add", path: "/spec/initContainers/-", value: SIDECAR }
        : { op: "add", path: "/spec/initContainers", value: [SIDECAR] },
    ];
    return Response.json({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      response: {
        uid,
        allowed: true,
        patchType: "JSONPatch",
        patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
      },
    });
  },
});
process.stdout.write(`${server.port}\n`);
