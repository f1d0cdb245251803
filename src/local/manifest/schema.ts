/** The table of kinds and fields: what play honours, what it accepts in silence, and what it refuses by name. */
import {
  accepted,
  bool,
  type Checker,
  either,
  integer,
  list,
  map,
  mustBe,
  noticed,
  noticedUnless,
  object,
  only,
  text,
  unsupported,
} from "./check.ts";

const LABEL = { pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, means: "a DNS label (a-z, 0-9 and -)", max: 63 };
const SUBDOMAIN = {
  pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  means: "a DNS name (a-z, 0-9, - and .)",
  max: 253,
};
const QUALIFIED = {
  pattern: /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
  means: "a qualified name such as app or example.com/app",
};
const LABEL_VALUE = text({ pattern: /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/, means: "a label value" });
const PORT_NAME = {
  pattern: /^(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
  means: "a port name (a-z, 0-9, -, with a letter)",
  max: 15,
};
const ABSOLUTE = { pattern: /^\//, means: "an absolute path" };
const RELATIVE = { pattern: /^(?!\/)(?!.*(^|\/)\.\.(\/|$)).+$/, means: "a relative path without .." };

const port = integer(1, 65535);
const labels = map(LABEL_VALUE, QUALIFIED);
const seconds = integer(0, 86_400);
const id = integer(0, 4_294_967_294);
const ONE_NODE = "there is one node and no scheduler";
const NO_API_SERVER = "there is no API server here, and no token for it is mounted";
const TERMINATION_MESSAGE = "a container's last words are read from its log alone";
const ONE_BY_ONE = "pods are replaced one by one: one more than wanted for a while, never one less";
const HOST_NAMESPACE = "pods have namespaces of their own here";

function metadata(name: Checker): Checker {
  return object(
    {
      name,
      namespace: text(LABEL),
      labels,
      annotations: map(text(), QUALIFIED),
      creationTimestamp: accepted,
      resourceVersion: accepted,
      uid: accepted,
      generation: accepted,
      managedFields: accepted,
      selfLink: accepted,
      generateName: unsupported("give the object a name"),
      finalizers: unsupported("nothing would remove them"),
      ownerReferences: unsupported("there is no garbage collector"),
    },
    { required: ["name"] },
  );
}

const dropped = list(text({ pattern: /^(CAP_)?[A-Z_]+$/, means: "a capability such as NET_RAW, or ALL" }));
/** What a container may hold here: the rest reaches the machine itself (devices, mounts, modules, other processes). */
const GRANTABLE =
  "AUDIT_WRITE|CHOWN|DAC_OVERRIDE|FOWNER|FSETID|IPC_LOCK|KILL|NET_ADMIN|NET_BIND_SERVICE|NET_BROADCAST|NET_RAW|SETFCAP|SETGID|SETPCAP|SETUID|SYS_CHROOT|SYS_NICE";
const added = list(
  text({
    pattern: new RegExp(`^(CAP_)?(${GRANTABLE})$`),
    means: "one of those that stay within the pod, such as NET_ADMIN; others reach the machine itself",
  }),
);
const seccomp = object({
  type: only("RuntimeDefault", "Unconfined"),
  localhostProfile: unsupported("no profiles are kept here"),
});
const command = list(text());
const exec = object({ command }, { required: ["command"] });
const portOrName = either(port, text(PORT_NAME));
const httpGet = object(
  {
    path: text(),
    port: portOrName,
    scheme: only("HTTP", "HTTPS"),
    httpHeaders: list(object({ name: text(), value: text() }, { required: ["name", "value"] })),
    host: unsupported("probes and handlers go to the pod"),
  },
  { required: ["port"] },
);
const handler = object(
  {
    exec,
    httpGet,
    tcpSocket: unsupported("no kubelet makes it either: use exec or httpGet"),
    sleep: unsupported("use exec with sleep"),
  },
  { exactlyOne: ["exec", "httpGet", "tcpSocket", "sleep"] },
);
const probe = object({
  httpGet,
  tcpSocket: object({ port: portOrName, host: unsupported("probes go to the pod") }, { required: ["port"] }),
  exec,
  grpc: object({ port, service: text({ max: 127 }) }, { required: ["port"] }),
  initialDelaySeconds: seconds,
  periodSeconds: integer(1, 86_400),
  timeoutSeconds: integer(1, 86_400),
  successThreshold: integer(1, 1000),
  failureThreshold: integer(1, 1_000_000),
  terminationGracePeriodSeconds: unsupported("the pod's own grace period counts"),
});

const configMapKey = object({ name: text(SUBDOMAIN), key: text(), optional: bool }, { required: ["name", "key"] });
const fieldRef = object(
  {
    apiVersion: only("v1"),
    fieldPath: text({
      pattern:
        /^(metadata\.(name|namespace|uid|labels|annotations|(labels|annotations)\['[^']+'\])|spec\.(nodeName|serviceAccountName)|status\.(podIP|podIPs|hostIP|hostIPs))$/,
      means: "a field that play can give (metadata.name, status.podIP, …)",
    }),
  },
  { required: ["fieldPath"] },
);
const SECRETS = "there are no Secrets here; use a ConfigMap for what is not secret";
const env = object(
  {
    name: text({ pattern: /^[-._A-Za-z][-._A-Za-z0-9]*$/, means: "a variable name" }),
    value: text(),
    valueFrom: object(
      {
        fieldRef,
        configMapKeyRef: configMapKey,
        secretKeyRef: unsupported(SECRETS),
        resourceFieldRef: unsupported("resources are not limited here"),
        fileKeyRef: unsupported("use value or configMapKeyRef"),
      },
      { exactlyOne: ["fieldRef", "configMapKeyRef", "secretKeyRef", "resourceFieldRef", "fileKeyRef"] },
    ),
  },
  { required: ["name"] },
);

function container(init: boolean): Checker {
  return object(
    {
      name: text(LABEL),
      image: text({ pattern: /\S/, means: "an image name" }),
      imagePullPolicy: accepted,
      command,
      args: list(text()),
      workingDir: text(ABSOLUTE),
      env: list(env, { uniqueBy: "name" }),
      envFrom: list(
        object(
          {
            prefix: text(),
            configMapRef: object({ name: text(SUBDOMAIN), optional: bool }, { required: ["name"] }),
            secretRef: unsupported(SECRETS),
          },
          { exactlyOne: ["configMapRef", "secretRef"] },
        ),
      ),
      ports: list(
        object(
          {
            name: text(PORT_NAME),
            containerPort: port,
            protocol: only("TCP", "UDP", "SCTP"),
            hostPort: unsupported("the machine's ports are not touched"),
            hostIP: unsupported("the machine's ports are not touched"),
          },
          { required: ["containerPort"] },
        ),
      ),
      securityContext: object({
        runAsUser: id,
        runAsGroup: id,
        runAsNonRoot: bool,
        readOnlyRootFilesystem: bool,
        allowPrivilegeEscalation: bool,
        privileged: mustBe(false, "a privileged container could reach the machine"),
        capabilities: object({ add: added, drop: dropped }),
        seccompProfile: seccomp,
        appArmorProfile: noticed("not applied"),
        seLinuxOptions: noticed("not applied"),
        procMount: only("Default"),
        windowsOptions: unsupported("this is Linux"),
      }),
      startupProbe: probe,
      readinessProbe: probe,
      livenessProbe: probe,
      lifecycle: object({ postStart: handler, preStop: handler, stopSignal: unsupported("SIGTERM is sent") }),
      restartPolicy: init ? only("Always") : unsupported("only init containers have one of their own"),
      volumeMounts: list(
        object(
          {
            name: text(),
            mountPath: text(ABSOLUTE),
            readOnly: bool,
            recursiveReadOnly: accepted,
            subPath: unsupported("mount the whole volume"),
            subPathExpr: unsupported("mount the whole volume"),
            mountPropagation: only("None"),
          },
          { required: ["name", "mountPath"] },
        ),
        { uniqueBy: "mountPath" },
      ),
      resources: noticed("requests and limits are not enforced"),
      terminationMessagePath: noticedUnless("/dev/termination-log", TERMINATION_MESSAGE),
      terminationMessagePolicy: noticedUnless("File", TERMINATION_MESSAGE),
      stdin: mustBe(false, "containers run without a terminal"),
      stdinOnce: mustBe(false, "containers run without a terminal"),
      tty: mustBe(false, "containers run without a terminal"),
      volumeDevices: unsupported("there are no block devices"),
      resizePolicy: accepted,
    },
    { required: ["name", "image"] },
  );
}

const mode = integer(0, 0o777);
const items = list(object({ key: text(), path: text(RELATIVE), mode }, { required: ["key", "path"] }));
const downwardItems = list(
  object(
    { path: text(RELATIVE), fieldRef, mode, resourceFieldRef: unsupported("resources are not limited here") },
    { required: ["path", "fieldRef"] },
  ),
);
const volume = object(
  {
    name: text(LABEL),
    emptyDir: object({ medium: only("", "Memory"), sizeLimit: noticed("not enforced") }),
    configMap: object({ name: text(SUBDOMAIN), items, defaultMode: mode, optional: bool }, { required: ["name"] }),
    downwardAPI: object({ items: downwardItems, defaultMode: mode }, { required: ["items"] }),
    projected: object(
      {
        defaultMode: mode,
        sources: list(
          object(
            {
              serviceAccountToken: object(
                { audience: text(), expirationSeconds: integer(600), path: text(RELATIVE) },
                { required: ["path"] },
              ),
              configMap: object({ name: text(SUBDOMAIN), items, optional: bool }, { required: ["name"] }),
              downwardAPI: object({ items: downwardItems }, { required: ["items"] }),
              secret: unsupported(SECRETS),
              clusterTrustBundle: unsupported("there are none here"),
              podCertificate: unsupported("there are none here"),
            },
            {
              exactlyOne: [
                "serviceAccountToken",
                "configMap",
                "downwardAPI",
                "secret",
                "clusterTrustBundle",
                "podCertificate",
              ],
            },
          ),
        ),
      },
      { required: ["sources"] },
    ),
    hostPath: unsupported("containers must not reach the machine's files"),
    persistentVolumeClaim: unsupported("there is no storage; use emptyDir"),
    secret: unsupported(SECRETS),
    nfs: unsupported("there is no storage; use emptyDir"),
    csi: unsupported("there is no storage; use emptyDir"),
    ephemeral: unsupported("there is no storage; use emptyDir"),
    image: unsupported("there is no registry"),
  },
  { required: ["name"] },
);

function podSpec(restart: Checker): Checker {
  return object(
    {
      containers: list(container(false), { uniqueBy: "name", min: 1 }),
      initContainers: list(container(true), { uniqueBy: "name" }),
      ephemeralContainers: unsupported("use tulle exec"),
      volumes: list(volume, { uniqueBy: "name" }),
      restartPolicy: restart,
      terminationGracePeriodSeconds: seconds,
      serviceAccountName: text(SUBDOMAIN),
      serviceAccount: text(SUBDOMAIN),
      automountServiceAccountToken: noticedUnless(false, NO_API_SERVER),
      hostname: text(LABEL),
      subdomain: text(LABEL),
      securityContext: object({
        runAsUser: id,
        runAsGroup: id,
        runAsNonRoot: bool,
        fsGroup: id,
        fsGroupChangePolicy: accepted,
        supplementalGroups: list(id),
        seccompProfile: seccomp,
        appArmorProfile: noticed("not applied"),
        seLinuxOptions: noticed("not applied"),
        sysctls: unsupported("the node sets its own"),
        windowsOptions: unsupported("this is Linux"),
      }),
      hostNetwork: mustBe(false, HOST_NAMESPACE),
      hostPID: mustBe(false, HOST_NAMESPACE),
      hostIPC: mustBe(false, HOST_NAMESPACE),
      hostUsers: mustBe(true, "pods share the machine's user namespace"),
      shareProcessNamespace: mustBe(false, "each container has a process namespace of its own"),
      dnsPolicy: only("ClusterFirst"),
      dnsConfig: unsupported("names are resolved by the node's name server"),
      hostAliases: unsupported("use a Service"),
      enableServiceLinks: noticedUnless(false, "no variables are set for Services; use their names"),
      nodeName: unsupported(ONE_NODE),
      nodeSelector: unsupported(ONE_NODE),
      affinity: noticed(ONE_NODE),
      tolerations: noticed(ONE_NODE),
      topologySpreadConstraints: noticed(ONE_NODE),
      schedulerName: noticedUnless("default-scheduler", ONE_NODE),
      priority: noticedUnless(0, ONE_NODE),
      priorityClassName: noticed(ONE_NODE),
      preemptionPolicy: noticedUnless("PreemptLowerPriority", ONE_NODE),
      runtimeClassName: unsupported("there is one runtime"),
      imagePullSecrets: noticed("there is no registry"),
      activeDeadlineSeconds: unsupported("delete the pod instead"),
      readinessGates: unsupported("nothing would set them"),
      overhead: noticed(ONE_NODE),
      os: object({ name: only("linux") }),
      resources: noticed("requests and limits are not enforced"),
    },
    { required: ["containers"] },
  );
}

const selector = object(
  { matchLabels: labels, matchExpressions: unsupported("use matchLabels") },
  { required: ["matchLabels"] },
);

export interface KindSchema {
  readonly apiVersion: string;
  readonly check: Checker;
}

function kind(
  apiVersion: string,
  name: Checker,
  fields: Readonly<Record<string, Checker>>,
  required: readonly string[] = [],
): KindSchema {
  const all = { apiVersion: accepted, kind: accepted, metadata: metadata(name), status: accepted, ...fields };
  return { apiVersion, check: object(all, { required: ["metadata", ...required] }) };
}

/** Every kind that play runs. */
export const KINDS: Readonly<Record<string, KindSchema>> = {
  Namespace: kind("v1", text(LABEL), { spec: accepted }),
  ServiceAccount: kind("v1", text(SUBDOMAIN), {
    automountServiceAccountToken: noticedUnless(false, NO_API_SERVER),
    secrets: noticed(SECRETS),
    imagePullSecrets: noticed("there is no registry"),
  }),
  ConfigMap: kind("v1", text(SUBDOMAIN), {
    data: map(text(), { pattern: /^(?!\.\.?$)[-._A-Za-z0-9]+$/, means: "a key (letters, digits, -, _ and .)" }),
    binaryData: unsupported("use data"),
    immutable: noticedUnless(false, "changes are not refused"),
  }),
  Pod: kind("v1", text({ ...SUBDOMAIN, max: 63 }), { spec: podSpec(only("Always", "OnFailure", "Never")) }, ["spec"]),
  Deployment: kind(
    "apps/v1",
    text({ ...SUBDOMAIN, max: 46 }),
    {
      spec: object(
        {
          replicas: integer(0, 10_000),
          selector,
          template: object(
            {
              metadata: object({
                labels,
                annotations: map(text(), QUALIFIED),
                name: accepted,
                namespace: accepted,
                creationTimestamp: accepted,
              }),
              spec: podSpec(only("Always")),
            },
            { required: ["spec"] },
          ),
          strategy: object({
            type: only("RollingUpdate", "Recreate"),
            rollingUpdate: object({
              maxSurge: noticedUnless(1, ONE_BY_ONE),
              maxUnavailable: noticedUnless(0, ONE_BY_ONE),
            }),
          }),
          minReadySeconds: noticedUnless(0, "a pod counts as soon as it is ready"),
          revisionHistoryLimit: accepted,
          progressDeadlineSeconds: accepted,
          paused: mustBe(false, "leave it out and apply when ready"),
        },
        { required: ["selector", "template"] },
      ),
    },
    ["spec"],
  ),
  Service: kind(
    "v1",
    text(LABEL),
    {
      spec: object(
        {
          type: mustBe("ClusterIP", "there is nothing outside the node to serve"),
          clusterIP: either(only("None", ""), text({ pattern: /^[0-9a-f.:]+$/i, means: "None or an address" })),
          clusterIPs: list(either(only("None", ""), text({ pattern: /^[0-9a-f.:]+$/i, means: "None or an address" }))),
          ipFamilies: list(only("IPv4", "IPv6")),
          ipFamilyPolicy: only("SingleStack", "PreferDualStack", "RequireDualStack"),
          selector: map(LABEL_VALUE, QUALIFIED),
          publishNotReadyAddresses: bool,
          sessionAffinity: mustBe("None", "connections are balanced one by one"),
          internalTrafficPolicy: accepted,
          trafficDistribution: accepted,
          externalName: unsupported("name the destination itself"),
          externalIPs: unsupported("there is nothing outside the node to serve"),
          loadBalancerClass: unsupported("there is nothing outside the node to serve"),
          ports: list(
            object(
              {
                name: text(PORT_NAME),
                port,
                targetPort: portOrName,
                protocol: only("TCP", "UDP"),
                appProtocol: accepted,
                nodePort: unsupported("the machine's ports are not touched"),
              },
              { required: ["port"] },
            ),
            { uniqueBy: "name" },
          ),
        },
        { required: ["selector"] },
      ),
    },
    ["spec"],
  ),
};
