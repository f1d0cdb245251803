/** The operator of a FamilyMesh: runs in the namespace of its node until it is killed. The one argument is the plan's file. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/cli/system.ts";
import { objectKey, PORTS, ROOT_CERTIFICATE_FILE, TOKEN_FILE } from "../../src/mesh/index.ts";
import { ip } from "../../src/testkit/addresses.ts";
import { OperatorStage } from "../../src/testkit/operator-stage.ts";
import type { OperatorPlan } from "./family-mesh.ts";

const plan = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as OperatorPlan;
const stage = new OperatorStage(systemClock, {
  ranges: () => plan,
  listen: { hosts: plan.hosts, port: PORTS.operatorGrpc },
  ips: plan.hosts.map(ip),
});
for (const service of plan.services) stage.services.set(objectKey(service.namespace, service.name), service);
for (const one of plan.endpoints) stage.endpoints.set(objectKey(one.namespace, one.service), one);
for (const pod of plan.pods) {
  const folder = join(plan.identities, pod.uid);
  writeFileSync(join(folder, TOKEN_FILE), stage.add(pod));
  writeFileSync(join(folder, ROOT_CERTIFICATE_FILE), stage.authority.bundle().pem());
}
process.stdout.write("ready\n");
