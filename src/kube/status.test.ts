import { expect, test } from "bun:test";
import { errorFromStatus, retryAfterOf } from "./status.ts";

test("the reason decides, then the code, then the HTTP status", () => {
  const code = (http: number, status: object) => errorFromStatus("get x", http, status).code;
  expect(code(409, { reason: "AlreadyExists", code: 409 })).toBe("already-exists");
  expect(code(409, { reason: "Conflict", code: 409 })).toBe("conflict");
  expect(code(200, { code: 410 })).toBe("expired");
  expect(code(410, { reason: "Expired" })).toBe("expired");
  expect(code(500, { reason: "ServerTimeout", code: 500 })).toBe("timeout");
  expect(code(422, { reason: "Invalid" })).toBe("invalid");
  expect(code(418, { reason: "Teapot" })).toBe("bad-request");
  expect(code(502, {})).toBe("server-error");
  expect(code(302, {})).toBe("bad-answer");
});

test("says what was tried and what the server said, at a length a terminal bears, and what to do", () => {
  const error = errorFromStatus("create pods in namespace demo", 403, {
    reason: "Forbidden",
    message: `pods is forbidden: ${"x".repeat(5000)}`,
  });
  expect(error.message).toStartWith("cannot create pods in namespace demo: pods is forbidden: x");
  expect(error.message.length).toBeLessThan(1100);
  expect(error.hint).toContain("Role");
  expect(error.exitCode).toBe(1);
});

test("keeps the fields at fault, and how long to wait: the status before the header", () => {
  const causes = [{ field: "spec.containers", reason: "FieldValueRequired", message: "Required value" }];
  expect(errorFromStatus("x", 422, { details: { causes } }).causes).toEqual(causes);
  expect(errorFromStatus("x", 429, { details: { retryAfterSeconds: 3 } }, 9000).retryAfter).toBe(3000);
  expect(errorFromStatus("x", 429, {}, 9000).retryAfter).toBe(9000);
  expect(errorFromStatus("x", 429, {}).retryAfter).toBeUndefined();
  expect(retryAfterOf(new Headers({ "retry-after": "2" }))).toBe(2000);
  expect(retryAfterOf(new Headers({ "retry-after": "Fri, 31 Dec 1999 23:59:59 GMT" }))).toBeUndefined();
});
