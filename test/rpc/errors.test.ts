import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import {
  codeOfReason,
  errorTable,
  fromServiceError,
  httpCodeOf,
  reasonOf,
  toServiceError,
  toStatusDetail,
  toStatusDocument,
} from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { Status as RpcStatus } from "../../proto/gen/rpc_status.ts";

test("every code has a row, and every row leads to its HTTP code", () => {
  for (const code of Object.values(Code)) {
    if (code === Code.ok) continue;
    assert.ok(
      errorTable.some((row) => row.code === code),
      `code ${code}`,
    );
  }
  for (const { code, reason, http } of errorTable) {
    assert.equal(httpCodeOf(new StatusError(code, "", { reason })), http);
  }
});

test("an error without a reason gets the one its code stands for", () => {
  assert.equal(reasonOf(new StatusError(Code.notFound, "")), "NotFound");
  assert.equal(httpCodeOf(new StatusError(Code.aborted, "")), 409);
  assert.equal(httpCodeOf(new StatusError(Code.invalidArgument, "", { reason: "Odd" })), 400);
  assert.equal(codeOfReason("Conflict"), Code.aborted);
  assert.equal(codeOfReason("Odd"), undefined);
});

test("the document is Kubernetes' Status", () => {
  const detail = { reason: "NotFound", kind: "pods", name: "a" };
  const document = toStatusDocument(new StatusError(Code.notFound, 'pods "a" not found', detail));
  assert.deepEqual(document, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: 'pods "a" not found',
    reason: "NotFound",
    details: { kind: "pods", name: "a" },
    code: 404,
  });
  assert.deepEqual(toStatusDetail(document), detail);
});

test("damaged details cost the reason only", () => {
  const error = toServiceError(new StatusError(Code.aborted, "m", { reason: "Conflict" }));
  error.metadata.set("grpc-status-details-bin", Buffer.from([0xff, 0xff, 0xff]));
  const restored = fromServiceError(error);
  assert.equal(restored.code, Code.aborted);
  assert.equal(restored.message, "m");
  assert.equal(restored.detail, undefined);
});

test("trailers travel with the error; a StatusError passes unchanged", () => {
  const trailers = new Metadata();
  trailers.set("trireme-retry", "safe");
  const error = new StatusError(Code.unavailable, "no leader");
  assert.deepEqual(toServiceError(error, trailers).metadata.get("trireme-retry"), ["safe"]);
  assert.equal(fromServiceError(error), error);
  assert.equal(fromServiceError(new Error("plain")).code, Code.unknown);
});

test("an error that says when to come back says it to every retry policy", () => {
  const busy = new StatusError(Code.resourceExhausted, "busy", {
    reason: "TooManyRequests",
    retryAfterSeconds: 2,
  });
  const { metadata } = toServiceError(busy);
  assert.deepEqual(metadata.get("grpc-retry-pushback-ms"), ["2000"]);
  const [details] = metadata.get("grpc-status-details-bin");
  assert.ok(Buffer.isBuffer(details));
  const [status, retry] = RpcStatus.decode(details).details ?? [];
  assert.match(status?.typeUrl ?? "", /Status$/);
  assert.equal(retry?.typeUrl, "type.googleapis.com/google.rpc.RetryInfo");
  // RetryInfo { retry_delay = 1: Duration { seconds = 1: 2 } }
  assert.deepEqual([...(retry?.value ?? [])], [0x0a, 0x02, 0x08, 0x02]);
  const plain = toServiceError(new StatusError(Code.notFound, "gone")).metadata;
  assert.deepEqual(plain.get("grpc-retry-pushback-ms"), []);
});
