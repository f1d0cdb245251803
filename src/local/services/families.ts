/** Which IP families a Service has, as the API server decides it from `ipFamilyPolicy`, `ipFamilies` and cluster IPs. Pure. */
import { type Ip, isIpv6, parseIp } from "../../mesh/index.ts";
import type { IpFamily, ServiceObject } from "../kinds.ts";

export function familyOf(ip: Ip): IpFamily {
  return isIpv6(ip) ? "IPv6" : "IPv4";
}

/** The families in order, the first one that of `clusterIP`. One, IPv4, unless the Service says otherwise. */
export function familiesOf({ spec }: ServiceObject, available: readonly IpFamily[]): readonly IpFamily[] {
  const own = wantedIps(spec).flatMap((text) => {
    const ip = parseIp(text);
    return ip === undefined ? [] : [familyOf(ip)];
  });
  const named = spec.ipFamilies !== undefined && spec.ipFamilies.length > 0 ? spec.ipFamilies : own;
  const policy = spec.ipFamilyPolicy ?? (named.length > 1 ? "RequireDualStack" : "SingleStack");
  const first = named[0] ?? "IPv4";
  if (policy === "SingleStack") return [first];
  const both: readonly IpFamily[] = first === "IPv4" ? ["IPv4", "IPv6"] : ["IPv6", "IPv4"];
  return policy === "RequireDualStack" ? both : both.filter((family) => available.includes(family));
}

/** The cluster IPs that a Service asks for by value. */
export function wantedIps({ clusterIP, clusterIPs }: ServiceObject["spec"]): readonly string[] {
  const asked = clusterIPs !== undefined && clusterIPs.length > 0 ? clusterIPs : [clusterIP ?? ""];
  return asked.filter((text) => text !== "" && text !== "None");
}
