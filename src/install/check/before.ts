/** Checks of a cluster that is to get Tulle. */

import { see } from "../seen.ts";
import { type Check, fail, pass, some, warn } from "./finding.ts";

const OLDEST = { major: 1, minor: 30 };
/** Before it iptables-nft lacks parts of the kernel that it needs. */
const OLDEST_NFT_KERNEL = { major: 4, minor: 18 };

export const BEFORE: readonly Check[] = [
  {
    id: "kubernetes-version",
    when: "always",
    claim: "Kubernetes is 1.30 or newer",
    judge(snapshot) {
      const { gitVersion, major, minor } = see(snapshot.server);
      if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) return [pass(gitVersion)];
      return [
        fail(
          `the API server is ${gitVersion}`,
          "Upgrade the cluster: sidecar containers and admission policies need 1.30.",
        ),
      ];
    },
  },
  {
    id: "admission-policies",
    when: "before",
    claim: "the API server evaluates admission policies",
    judge: (snapshot) =>
      see(snapshot.policiesServed)
        ? []
        : [
            fail(
              "ValidatingAdmissionPolicy is not served",
              "Serve admissionregistration.k8s.io/v1 (do not switch it off by --runtime-config).",
            ),
          ],
  },
  {
    id: "installer-rights",
    when: "before",
    claim: "you may create what an installation needs",
    judge(snapshot) {
      const missing = see(snapshot.access).filter((one) => !one.allowed);
      const names = missing.filter((one) => one.verb !== "escalate").map((one) => `${one.verb} ${one.resource}`);
      if (names.length > 0)
        return [fail(`you may not ${some(names, 4)}`, "Install as cluster-admin, or ask for these rights.")];
      if (missing.length === 0) return [];
      return [
        warn(
          "you may not escalate clusterroles: the operator's is only accepted if you hold all of its rights yourself",
          "Install as cluster-admin if kubectl says `attempting to grant RBAC permissions not currently held`.",
        ),
      ];
    },
  },
  {
    id: "one-mesh",
    when: "before",
    claim: "no other installation of Tulle is in the way",
    judge(snapshot) {
      const found = see(snapshot.installation);
      if (found === undefined) return [];
      if (found.namespace !== snapshot.namespace)
        return [
          fail(
            `Tulle is installed in namespace ${found.namespace}`,
            `Use --namespace ${found.namespace}, or uninstall it there.`,
          ),
        ];
      const by = found.helmRelease === undefined ? "" : ` by Helm, release ${found.helmRelease}`;
      const fix = found.helmRelease === undefined ? "Use tulle upgrade." : `Use helm upgrade ${found.helmRelease}.`;
      return [warn(`Tulle ${found.version ?? ""} is installed already${by}`, fix)];
    },
  },
  {
    id: "nodes",
    when: "always",
    claim: "the nodes can run meshed pods",
    judge(snapshot) {
      const infos = see(snapshot.nodes).flatMap(({ metadata, status }) =>
        status?.nodeInfo === undefined ? [] : [{ name: metadata.name, ...status.nodeInfo }],
      );
      const linux = infos.filter((one) => one.operatingSystem === "linux");
      const strange = linux.filter((one) => one.architecture !== "amd64" && one.architecture !== "arm64");
      const old = linux.filter((one) => isOlder(one.kernelVersion));
      const windows = infos.length - linux.length;
      return [
        ...(strange.length === 0
          ? []
          : [
              fail(
                `the image has no variant for ${some(strange.map((one) => `${one.name} (${one.architecture})`))}`,
                "Keep meshed pods off these nodes, or build the image for them.",
              ),
            ]),
        ...(old.length === 0
          ? []
          : [
              warn(
                `old kernels may have legacy iptables only: ${some(old.map((one) => `${one.name} (${one.kernelVersion})`))}`,
                "If tulle-init fails there with no-kernel-support, install with --set injection.legacyIptables=true.",
              ),
            ]),
        ...(windows === 0
          ? []
          : [
              warn(
                `${windows} nodes run another system than Linux`,
                "Give meshed pods the nodeSelector kubernetes.io/os: linux.",
              ),
            ]),
      ];
    },
  },
];

function isOlder(kernel: string): boolean {
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
  const { major: least, minor: then } = OLDEST_NFT_KERNEL;
  return Number(major) < least || (Number(major) === least && Number(minor) < then);
}
