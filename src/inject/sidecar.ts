/** What is added to a pod: the init container, the sidecar and their volumes, in Kubernetes' own shapes. */
import {
  type AppProbes,
  ENV,
  IDENTITY_DIRECTORY,
  IDENTITY_VOLUME,
  INIT_CONTAINER,
  PORTS,
  PROXY_CONTAINER,
  PROXY_UID,
  ROOT_CERTIFICATE_FILE,
  RUN_DIRECTORY,
  RUN_VOLUME,
  TOKEN_AUDIENCE,
  TOKEN_FILE,
  TRUST_BUNDLE_CONFIG_MAP,
} from "../mesh/index.ts";
import type { PodSettings } from "./annotations.ts";
import { encodeProbes } from "./probes.ts";
import { parseQuantity, type Quantity } from "./quantity.ts";

/** What one mesh gives to every sidecar. */
export interface InjectConfig {
  /** Image of init container and sidecar; its entry point is `tulle`. */
  readonly image: string;
  /** Version that is written to the annotation `tulle.dev/injected`. */
  readonly version: string;
  readonly trustDomain: string;
  /** `tulle-operator.tulle-system.svc:15012`. */
  readonly operatorAddress: string;
  /** Nodes whose kernel has only legacy iptables: the init container then needs NET_RAW as well. */
  readonly legacyIptables?: boolean;
}

const TOKEN_LIFETIME_SECONDS = 3600;

/** Runs before every other container: writes the rules and ends. */
export function initContainer(config: InjectConfig, settings: PodSettings): object {
  const args = ["init"];
  if (settings.skipInboundPorts !== undefined) args.push(`--skip-inbound-ports=${settings.skipInboundPorts}`);
  if (settings.skipOutboundPorts !== undefined) args.push(`--skip-outbound-ports=${settings.skipOutboundPorts}`);
  if (settings.skipInboundCidrs !== undefined) args.push(`--skip-inbound-cidrs=${settings.skipInboundCidrs}`);
  if (settings.skipOutboundCidrs !== undefined) args.push(`--skip-outbound-cidrs=${settings.skipOutboundCidrs}`);
  return {
    name: INIT_CONTAINER,
    image: settings.image ?? config.image,
    args,
    resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { cpu: "500m", memory: "256Mi" } },
    securityContext: {
      allowPrivilegeEscalation: false,
      // iptables-nft needs NET_ADMIN only; legacy iptables opens a raw socket.
      capabilities: { add: config.legacyIptables === true ? ["NET_ADMIN", "NET_RAW"] : ["NET_ADMIN"], drop: ["ALL"] },
      privileged: false,
      readOnlyRootFilesystem: true,
      // Against a pod-level runAsUser or runAsNonRoot: rules can be written by root only.
      runAsGroup: 0,
      runAsNonRoot: false,
      runAsUser: 0,
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
}

/** A native sidecar: starts before the application and outlives it. */
export function proxyContainer(config: InjectConfig, settings: PodSettings, probes: AppProbes): object {
  const ready = { httpGet: { path: "/healthz/ready", port: PORTS.readiness } };
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return {
    name: PROXY_CONTAINER,
    image: settings.image ?? config.image,
    args: ["proxy"],
    restartPolicy: "Always",
    env: [
      field(ENV.podName, "metadata.name"),
      field(ENV.podNamespace, "metadata.namespace"),
      field(ENV.podUid, "metadata.uid"),
      field(ENV.podIps, "status.podIPs"),
      field(ENV.serviceAccount, "spec.serviceAccountName"),
      field(ENV.nodeName, "spec.nodeName"),
      { name: ENV.trustDomain, value: config.trustDomain },
      { name: ENV.operatorAddress, value: config.operatorAddress },
      ...(settings.logLevel === undefined ? [] : [{ name: ENV.logLevel, value: settings.logLevel }]),
      ...(Object.keys(probes).length === 0 ? [] : [probesVariable(probes)]),
    ],
    ports: [
      { name: "tulle-hbone", containerPort: PORTS.hbone },
      { name: "tulle-metrics", containerPort: PORTS.metrics },
      { name: "tulle-ready", containerPort: PORTS.readiness },
    ],
    // An hour: an absent operator must not send new pods into restart back-off.
    startupProbe: { ...ready, periodSeconds: 1, failureThreshold: 3600 },
    readinessProbe: { ...ready, periodSeconds: 10 },
    resources: resources(settings),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: PROXY_UID,
      runAsNonRoot: true,
      runAsUser: PROXY_UID,
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: [
      { name: RUN_VOLUME, mountPath: RUN_DIRECTORY },
      { name: IDENTITY_VOLUME, mountPath: IDENTITY_DIRECTORY, readOnly: true },
    ],
  };
}

/** The variable by which the proxy learns of the application's probes. */
export function probesVariable(probes: AppProbes): { readonly name: string; readonly value: string } {
  return { name: ENV.probes, value: encodeProbes(probes) };
}

/** The defaults give way to what the pod says: a request above its limit would be refused by the API server. */
function resources({ cpuRequest, cpuLimit, memoryRequest, memoryLimit }: PodSettings): object {
  const lower = (text: string, limit: Quantity | undefined) =>
    limit !== undefined && limit.value < (parseQuantity(text)?.value ?? 0) ? limit.text : text;
  const higher = (text: string, request: Quantity | undefined) =>
    request !== undefined && request.value > (parseQuantity(text)?.value ?? 0) ? request.text : text;
  return {
    requests: {
      cpu: cpuRequest?.text ?? lower("20m", cpuLimit),
      memory: memoryRequest?.text ?? lower("64Mi", memoryLimit),
    },
    limits: {
      ...(cpuLimit === undefined ? {} : { cpu: cpuLimit.text }),
      memory: memoryLimit?.text ?? higher("512Mi", memoryRequest),
    },
  };
}

export function volumes(): readonly object[] {
  return [
    { name: RUN_VOLUME, emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
    {
      name: IDENTITY_VOLUME,
      projected: {
        defaultMode: 0o444,
        sources: [
          {
            serviceAccountToken: {
              audience: TOKEN_AUDIENCE,
              expirationSeconds: TOKEN_LIFETIME_SECONDS,
              path: TOKEN_FILE,
            },
          },
          {
            configMap: {
              name: TRUST_BUNDLE_CONFIG_MAP,
              items: [{ key: ROOT_CERTIFICATE_FILE, path: ROOT_CERTIFICATE_FILE }],
            },
          },
        ],
      },
    },
  ];
}
