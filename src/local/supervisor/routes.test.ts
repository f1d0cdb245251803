import { expect, test } from "bun:test";
import { TOOL_PATH } from "../node/tool.ts";
import { machineRoutes } from "./routes.ts";

test.skipIf(Bun.which("ip", { PATH: TOOL_PATH }) === null)("routes are read whatever PATH the user has", async () => {
  const path = process.env["PATH"];
  process.env["PATH"] = "/nowhere";
  try {
    expect(await machineRoutes()).not.toEqual([]);
  } finally {
    process.env["PATH"] = path;
  }
});
