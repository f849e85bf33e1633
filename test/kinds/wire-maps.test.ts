/** The pieces of encoded objects that do not depend on the order of maps' entries. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ControllerRevision } from "../../proto/gen/apps.ts";
import { Pod } from "../../proto/gen/core.ts";
import { orderedPieces } from "../../services/kinds/machinery/wire-maps.ts";
import { registry } from "./registry.ts";

const pods = kindOf("v1", "Pod");
const revisions = kindOf("apps/v1", "ControllerRevision");

function kindOf(apiVersion: string, kind: string) {
  const resource = registry.byKind(apiVersion, kind);
  assert.ok(resource);
  return resource;
}

function pod(reversed: boolean, cpu = "1"): Uint8Array {
  const map = (entries: Record<string, string>) =>
    Object.fromEntries(reversed ? Object.entries(entries).reverse() : Object.entries(entries));
  return Pod.encode({
    metadata: { name: "p", labels: map({ a: "1", b: "2" }), annotations: map({ x: "", y: "z" }) },
    spec: {
      nodeSelector: map({ zone: "a", disk: "b" }),
      containers: [
        { name: "c", image: "i", resources: { limits: map({ cpu, memory: "1Gi" }) } },
        { name: "d", image: "j", resources: { requests: map({ cpu, memory: "2Gi" }) } },
      ],
    },
  }).finish();
}

test("maps at any depth count, whatever their order; so does every value", () => {
  const pieces = orderedPieces(pods, pod(false));
  assert.notDeepEqual(pod(false), pod(true));
  assert.deepEqual(orderedPieces(pods, pod(true)), pieces);
  assert.notDeepEqual(orderedPieces(pods, pod(true, "2")), pieces);
  const swapped = { metadata: { labels: { x: "1" }, annotations: { y: "1" } } };
  const straight = { metadata: { labels: { y: "1" }, annotations: { x: "1" } } };
  const ofPod = (each: Pod) => orderedPieces(pods, Pod.encode(each).finish());
  assert.notDeepEqual(ofPod(swapped), ofPod(straight));
  assert.equal(Buffer.concat(pieces).length, pod(false).length, "nothing is left out");
});

test("free JSON within a message", () => {
  const made = (data: object) => ControllerRevision.encode({ revision: 1, data }).finish();
  const one = orderedPieces(revisions, made({ a: { b: [{ c: 1, d: "x" }], e: null }, f: true }));
  const other = orderedPieces(revisions, made({ f: true, a: { e: null, b: [{ d: "x", c: 1 }] } }));
  assert.deepEqual(Buffer.concat(one), Buffer.concat(other));
  const changed = orderedPieces(
    revisions,
    made({ f: true, a: { e: null, b: [{ d: "x", c: 2 }] } }),
  );
  assert.notDeepEqual(Buffer.concat(changed), Buffer.concat(one));
});

test("what is no message comes back as it is", () => {
  for (const bytes of [Buffer.from([0x1a, 0xff]), Buffer.from("no message"), Buffer.alloc(0)]) {
    assert.deepEqual(Buffer.concat(orderedPieces(pods, bytes)), bytes);
  }
});

test("whatever comes, nothing is thrown and nothing left out", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (noise, behind) => {
      const bytes = behind ? Buffer.concat([pod(false), noise]) : Buffer.from(noise);
      const length = orderedPieces(pods, bytes).reduce((sum, piece) => sum + piece.length, 0);
      assert.equal(length, bytes.length);
    }),
    { numRuns: 2_000 },
  );
});
