import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as admission from "kubernetes-models/admissionregistration.k8s.io/v1";
import * as apps from "kubernetes-models/apps/v1";
import * as networking from "kubernetes-models/networking.k8s.io/v1";
import * as policy from "kubernetes-models/policy/v1";
import * as rbac from "kubernetes-models/rbac.authorization.k8s.io/v1";
import * as core from "kubernetes-models/v1";
import { parse } from "yaml";
import {
  EXEMPT_NAMESPACES,
  INIT_CONTAINER,
  INJECT_LABEL,
  INJECTOR_FAILURE_POLICY,
  INJECTOR_PATH,
  INJECTOR_WEBHOOKS,
  MODE_LABEL,
  OPERATOR_NAMES,
  OPERATOR_SERVICE_ACCOUNT,
  PORTS,
  PROXY_CONTAINER,
  TRUST_BUNDLE_CONFIG_MAP,
  WEBHOOK_SERVICE_PORT,
} from "../mesh/index.ts";
import { CHART_VERSION, DEFAULT_VALUES, TEMPLATES, VALUES_SCHEMA } from "./chart.ts";
import { givenValues, type Manifest, renderChart, type ValueSources } from "./render.ts";
import { violations } from "./values/schema.ts";

const CHART = join(import.meta.dir, "../../charts/tulle");
const MODELS: Readonly<Record<string, unknown>> = { ...core, ...apps, ...networking, ...policy, ...rbac, ...admission };

const EVERYTHING: ValueSources = {
  ha: true,
  set: [
    "namespace.create=true",
    "mesh.mode=strict",
    "mesh.podCidrs={10.0.0.0/8}",
    "injection.allowEviction=true",
    "injection.legacyIptables=true",
    "imagePullSecrets[0].name=pull",
    "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus",
    "tolerations[0].operator=Exists",
  ],
};

function rendered(sources: ValueSources = {}): readonly Manifest[] {
  return renderChart(givenValues(sources), "tulle-system");
}

function find(objects: readonly Manifest[], kind: string, name: string = OPERATOR_NAMES.operator): Manifest {
  const found = objects.find((one) => one.kind === kind && one.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

describe("the chart in the binary", () => {
  test("is every file of charts/tulle/templates but the notes", () => {
    const files = readdirSync(join(CHART, "templates")).filter((file) => file !== "NOTES.txt");
    expect(Object.keys(TEMPLATES).sort()).toEqual(files.sort());
  });

  test("has the version of the binary", () => {
    const chart = parse(readFileSync(join(CHART, "Chart.yaml"), "utf8")) as { version: string; appVersion: string };
    expect([chart.version, chart.appVersion]).toEqual([CHART_VERSION, CHART_VERSION]);
  });

  test("has defaults that its schema allows", () => {
    expect(violations(parse(DEFAULT_VALUES), VALUES_SCHEMA)).toEqual([]);
  });
});

describe("the rendered objects", () => {
  test.each([{}, { ha: true }, EVERYTHING])("are valid Kubernetes objects by an independent schema: %j", (sources) => {
    for (const object of rendered(sources)) {
      const Model = MODELS[object.kind] as (new (data: object) => { validate(): void }) | undefined;
      if (Model === undefined) throw new Error(`the judge does not know ${object.kind}`);
      expect(() => new Model(object).validate()).not.toThrow();
    }
  });

  test("have the names, ports and paths that the operator expects", () => {
    const objects = rendered(EVERYTHING);
    for (const kind of [
      "Deployment",
      "Service",
      "ServiceAccount",
      "PodDisruptionBudget",
      "NetworkPolicy",
      "Role",
      "RoleBinding",
    ])
      expect(find(objects, kind).metadata.namespace).toBe("tulle-system");
    expect(find(objects, "ServiceAccount").metadata.name).toBe(OPERATOR_SERVICE_ACCOUNT);
    expect(find(objects, "Service")).toMatchObject({
      spec: {
        ports: [
          { name: "grpc", port: PORTS.operatorGrpc },
          { name: "webhook", port: WEBHOOK_SERVICE_PORT },
          { name: "metrics", port: PORTS.operatorMetrics },
        ],
      },
    });
    expect(find(objects, "Deployment")).toMatchObject({
      spec: {
        template: {
          spec: {
            containers: [
              {
                args: expect.arrayContaining([
                  "operator",
                  "--mode=strict",
                  "--pod-cidrs=10.0.0.0/8",
                  "--allow-eviction",
                ]),
                ports: [
                  { name: "grpc", containerPort: PORTS.operatorGrpc },
                  { name: "webhook", containerPort: PORTS.operatorWebhook },
                  { name: "metrics", containerPort: PORTS.operatorMetrics },
                ],
              },
            ],
          },
        },
      },
    });
    const webhooks = find(objects, "MutatingWebhookConfiguration", OPERATOR_NAMES.injector)["webhooks"];
    expect(webhooks).toMatchObject(
      INJECTOR_WEBHOOKS.map((name) => ({
        name,
        failurePolicy: INJECTOR_FAILURE_POLICY,
        reinvocationPolicy: "IfNeeded",
        clientConfig: { service: { path: INJECTOR_PATH, port: WEBHOOK_SERVICE_PORT } },
      })),
    );
  });

  test("leave the caBundle to the operator", () => {
    expect(JSON.stringify(rendered(EVERYTHING))).not.toContain("caBundle");
  });

  test("never inject nor refuse pods of kube-system and of the operator's namespace", () => {
    const objects = renderChart(givenValues(EVERYTHING), "mesh-home");
    const exempt = {
      key: "kubernetes.io/metadata.name",
      operator: "NotIn",
      values: [...EXEMPT_NAMESPACES, "mesh-home"],
    };
    const text = JSON.stringify(exempt);
    expect(JSON.stringify(find(objects, "ValidatingAdmissionPolicy", OPERATOR_NAMES.strictPolicy))).toContain(text);
    const { webhooks } = find(objects, "MutatingWebhookConfiguration", OPERATOR_NAMES.injector) as unknown as {
      webhooks: unknown[];
    };
    for (const webhook of webhooks) expect(JSON.stringify(webhook)).toContain(text);
  });

  test("spell labels and containers as the injector does", () => {
    const objects = rendered(EVERYTHING);
    const policy = JSON.stringify(find(objects, "ValidatingAdmissionPolicy", OPERATOR_NAMES.strictPolicy));
    for (const word of [INIT_CONTAINER, PROXY_CONTAINER, INJECT_LABEL]) expect(policy).toContain(word);
    expect(JSON.stringify(find(objects, "ValidatingAdmissionPolicyBinding", OPERATOR_NAMES.strictPolicy))).toContain(
      MODE_LABEL,
    );
  });

  test("come in the order in which they can be applied, what judges new pods last", () => {
    const kinds = rendered(EVERYTHING).map((object) => object.kind);
    expect(kinds[0]).toBe("Namespace");
    expect(kinds.indexOf("MutatingWebhookConfiguration")).toBeGreaterThan(kinds.indexOf("Deployment"));
    expect(kinds.at(-1)).toBe("ValidatingAdmissionPolicyBinding");
  });

  test("run the operator as Pod Security level restricted asks", () => {
    expect(find(rendered(), "Deployment")).toMatchObject({
      spec: {
        template: {
          spec: {
            securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
            containers: [
              {
                securityContext: {
                  allowPrivilegeEscalation: false,
                  capabilities: { drop: ["ALL"] },
                  readOnlyRootFilesystem: true,
                },
              },
            ],
          },
        },
      },
    });
  });
});

describe("what the operator may do", () => {
  interface Rule {
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
    readonly resourceNames?: readonly string[];
  }
  const rules = (kind: string, sources?: ValueSources) => find(rendered(sources), kind)["rules"] as readonly Rule[];
  const about = (all: readonly Rule[], resource: string) => all.filter((rule) => rule.resources.includes(resource));

  test("does not hold any Secret of the cluster", () => {
    expect(about(rules("ClusterRole", EVERYTHING), "secrets")).toEqual([]);
  });

  test("holds one Secret of its own namespace by name, and the making of one", () => {
    expect(about(rules("Role"), "secrets").map(({ verbs, resourceNames }) => ({ verbs, resourceNames }))).toEqual([
      { verbs: ["create"], resourceNames: undefined },
      { verbs: ["get"], resourceNames: [OPERATOR_NAMES.caSecret] },
    ]);
  });

  test("holds one Lease by name, to read and to renew, and the making of one", () => {
    expect(about(rules("Role"), "leases").map(({ verbs, resourceNames }) => ({ verbs, resourceNames }))).toEqual([
      { verbs: ["create"], resourceNames: undefined },
      { verbs: ["get", "update"], resourceNames: [OPERATOR_NAMES.lease] },
    ]);
  });

  test("holds one ConfigMap by name, and the making of one", () => {
    const [make, ...named] = about(rules("ClusterRole"), "configmaps");
    expect(make?.verbs).toEqual(["create"]);
    expect(named.map((rule) => rule.resourceNames)).toEqual([[TRUST_BUNDLE_CONFIG_MAP]]);
    expect(named.map((rule) => rule.verbs)).toEqual([["get", "list", "watch", "patch"]]);
  });

  test("holds evictions only when they are allowed", () => {
    expect(about(rules("ClusterRole"), "pods/eviction")).toEqual([]);
    expect(about(rules("ClusterRole", EVERYTHING), "pods/eviction")).toHaveLength(1);
  });

  test("holds nothing by a wildcard", () => {
    const text = JSON.stringify([rules("ClusterRole", EVERYTHING), rules("Role", EVERYTHING)]);
    expect(text).not.toContain('"*"');
  });
});
