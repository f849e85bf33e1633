/** Server-side apply as clients send it: over REST, by the typed services, by the dynamic one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, connect } from "../../ha/rpc/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { ConfigMapsClient } from "../../proto/gen/core.ts";
import { DynamicClient } from "../../proto/gen/dynamic.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { restWorld } from "./harness.ts";

const path = "/api/v1/namespaces/default/configmaps/a";
const yaml = (data: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {${data}}\n`;

function managers(document: Document): string[] {
  return (document.metadata?.managedFields ?? []).map(
    ({ manager, operation }) => `${manager} ${operation}`,
  );
}

test("over REST: 201 for what is made, 200 afterwards, 409 with a cause per field", async () => {
  await using w = await restWorld();
  const apply = (body: string, query: string) =>
    w.ask(`${path}?${query}`, {
      method: "PATCH",
      headers: { "content-type": "application/apply-patch+yaml", "user-agent": "robot/1.0" },
      body,
    });
  const made = await apply(yaml("k: x"), "fieldManager=one");
  assert.equal(made.status, 201, made.text);
  assert.equal((await apply(yaml("k: x"), "fieldManager=one")).status, 200);
  const conflict = await apply(yaml("k: two"), "fieldManager=two&force=false");
  assert.equal(conflict.status, 409, conflict.text);
  assert.deepEqual(conflict.json, {
    ...{ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure" },
    message: 'Apply failed with 1 conflict: conflict with "one": .data.k',
    reason: "Conflict",
    details: {
      causes: [
        {
          ...{ reason: "FieldManagerConflict", field: ".data.k" },
          message: 'conflict with "one"',
        },
      ],
    },
    code: 409,
  });
  const forced = await apply(yaml("k: two"), "fieldManager=two&force=true");
  assert.deepEqual(managers(forced.json), ["two Apply"]);
  const unnamed = await apply(yaml("k: two"), "");
  assert.equal(unnamed.status, 422);
  const merge = await w.ask(`${path}?force=true`, {
    method: "PATCH",
    headers: { "content-type": "application/merge-patch+json" },
    body: "{}",
  });
  assert.equal(merge.status, 422, merge.text);
  const merged = await w.ask(path, {
    method: "PATCH",
    headers: { "content-type": "application/merge-patch+json", "user-agent": "robot/1.0 (x)" },
    body: '{"data":{"l":"z"}}',
  });
  assert.deepEqual(managers(merged.json), ["two Apply", "robot Update"]);
});

test("over gRPC, typed and dynamic, whose clients are known by their user agent", async () => {
  await using w = await restWorld();
  const options = {
    addresses: [`127.0.0.1:${w.server.port}`],
    tls: { ca: w.ca, cert: w.admin.cert, key: w.admin.key },
    userAgent: "robot/1.0",
  };
  const typed = connect(ConfigMapsClient, options);
  const dynamic = connect(DynamicClient, options);
  try {
    const patch = (data: string, fieldManager: string, force?: boolean) => ({
      ...{ namespace: "default", name: "a", patchType: "application/apply-patch+yaml" },
      patch: Buffer.from(yaml(data)),
      options: { fieldManager },
      ...(force !== undefined && { force }),
    });
    const made = await call(typed, "patch", patch("k: x", "one"));
    assert.deepEqual(managers(made as Document), ["one Apply"]);
    assert.deepEqual(made.metadata?.managedFields?.[0]?.fieldsV1, { "f:data": { "f:k": {} } });
    const updated = await call(typed, "update", {
      object: { ...made, data: { ...made.data, l: "z" } },
    });
    assert.deepEqual(managers(updated as Document), ["one Apply", "robot Update"]);
    const ref = { apiVersion: "v1", kind: "ConfigMap" };
    await assert.rejects(
      call(dynamic, "patch", { ref, patch: patch("l: two", "two") }),
      (thrown) => {
        const error = StatusError.from(thrown);
        assert.equal(error.detail?.reason, "Conflict");
        assert.equal(error.detail?.causes?.[0]?.message, 'conflict with "robot" using v1');
        return true;
      },
    );
    const { json } = await call(dynamic, "patch", { ref, patch: patch("l: two", "two", true) });
    const forced = JSON.parse(Buffer.from(json ?? []).toString()) as Document;
    assert.deepEqual(managers(forced), ["one Apply", "two Apply"]);
    assert.deepEqual(forced["data"], { k: "x", l: "two" });
  } finally {
    typed.close();
    dynamic.close();
  }
});
