import assert from "node:assert/strict";
import { test } from "node:test";
import { documentBody } from "../../services/apiserver/verbs/body.ts";
import { patch, update, warningHeader } from "../../services/apiserver/verbs/mod.ts";
import { adminCall, fails, kind, make, pod, world } from "./harness.ts";

const at = { namespace: "default" };

test("create, update and patch name each field that has no effect, once", async () => {
  await using w = await world();
  const created = adminCall();
  const object = await make(
    w.backend,
    pod("p", {}, { imagePullSecrets: [{ name: "s" }] }),
    created,
  );
  const expected = "spec.imagePullSecrets: no images are pulled from registries, it has no effect";
  assert.deepEqual(created.warnings, [expected]);

  const updated = adminCall();
  const body = documentBody(object.copy());
  const write = { body, ...at, subresource: "" as const, typed: false };
  await update(w.backend, updated, kind("pods"), write);
  assert.deepEqual(updated.warnings, [expected]);

  const patched = adminCall();
  await patch(w.backend, patched, kind("pods"), {
    ...at,
    name: "p",
    patchType: "application/merge-patch+json",
    patch: Buffer.from('{"metadata":{"labels":{"a":"b"}}}'),
    options: { fieldManager: "me" },
  });
  assert.deepEqual(patched.warnings, [expected]);
});

test("a write of the status is about nothing else", async () => {
  await using w = await world();
  const object = await make(w.backend, pod("p", {}, { imagePullSecrets: [{ name: "s" }] }));
  const call = adminCall();
  const write = {
    body: documentBody(object.copy()),
    ...at,
    subresource: "status" as const,
    typed: false,
  };
  await update(w.backend, call, kind("pods"), write);
  assert.deepEqual(call.warnings, []);
});

test("a field manager's name is checked", async () => {
  await using w = await world();
  const options = (fieldManager: string) => ({
    ...at,
    name: "p",
    patchType: "application/merge-patch+json",
    patch: Buffer.from("{}"),
    options: { fieldManager },
  });
  await make(w.backend, pod("p"));
  const pods = kind("pods");
  await fails(
    patch(w.backend, adminCall(), pods, options("x".repeat(129))),
    "invalidArgument",
    'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
  );
  await fails(
    patch(w.backend, adminCall(), pods, options("a\u0000b")),
    "invalidArgument",
    /fieldManager: Invalid value: "a\\u0000b": invalid character U\+0000 \(at position 1\)/,
  );
});

test("warnings travel as one header of bounded length, in ASCII", () => {
  assert.equal(warningHeader([]), undefined);
  assert.equal(warningHeader(["a", 'b "é"']), '299 - "a", 299 - "b \\"\\u00e9\\""');
  const header = warningHeader(Array.from({ length: 32 }, () => "x".repeat(400))) ?? "";
  assert.ok(header.length < 4_200, String(header.length));
  const tail = '299 - "23 more warnings"';
  assert.equal(header.slice(-tail.length), tail);
});
