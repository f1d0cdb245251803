/** The machine's routes, with which the node's ranges must not collide. */
import type { Cidr } from "../../mesh/index.ts";
import { routesOf } from "../addresses.ts";
import { tryTool } from "../node/tool.ts";

/** Every range of either family that the machine has a route for; none where `ip` is missing, which the preflight tells. */
export async function machineRoutes(): Promise<readonly Cidr[]> {
  const routes = await Promise.all(
    ["-4", "-6"].map(async (family) => {
      const { code, stdout } = await tryTool(["ip", "-j", family, "route", "show", "table", "all"]);
      return code === 0 ? routesOf(stdout) : [];
    }),
  );
  return routes.flat();
}
