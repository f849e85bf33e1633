/** Fields on the wire that a message of `proto/` does not know. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { Deployment } from "../../proto/gen/apps.ts";
import { MemberStatus } from "../../proto/gen/cluster.ts";
import { Pod, PodWrite } from "../../proto/gen/core.ts";
import { NodeLiveness } from "../../proto/gen/node.ts";
import { limits } from "../../services/kinds/machinery/limits.ts";
import { unknownWireFields } from "../../services/kinds/mod.ts";

const podWrite = "trireme.core.v1.PodWrite";

/** A message whose fields are given by number, each with its bytes. */
function message(...fields: readonly (readonly [number, Uint8Array | string | number])[]) {
  const writer = new BinaryWriter();
  for (const [number, value] of fields) {
    if (typeof value === "number") writer.tag(number, WireType.Varint).uint32(value);
    else if (typeof value === "string") {
      writer.tag(number, WireType.LengthDelimited).string(value);
    } else writer.tag(number, WireType.LengthDelimited).bytes(value);
  }
  return writer.finish();
}

test("what the message knows is not unknown", () => {
  const pod: Pod = {
    metadata: { name: "a", labels: { app: "x" }, finalizers: ["f"], generation: 3 },
    spec: {
      containers: [{ name: "c", ports: [{ containerPort: 80 }], livenessProbe: { grpc: {} } }],
      securityContext: { supplementalGroups: [1, 2, 3] },
      activeDeadlineSeconds: -1,
      hostNetwork: true,
    },
  };
  const bytes = PodWrite.encode({ object: pod, options: { dryRun: ["All"] } }).finish();
  assert.deepEqual(unknownWireFields(podWrite, bytes), []);
  const deployment = Deployment.encode({
    spec: { strategy: { rollingUpdate: { maxSurge: "25%", maxUnavailable: 1 } } },
  }).finish();
  assert.deepEqual(unknownWireFields("trireme.apps.v1.Deployment", deployment), []);
  const status = MemberStatus.encode({ id: 2 ** 40, peers: [{ id: 1 }] }).finish();
  assert.deepEqual(unknownWireFields("trireme.cluster.v1.MemberStatus", status), []);
});

test("unknown numbers are named with their place", () => {
  const container = message([1, "c"], [99, 5], [1000, "text"]);
  const spec = message([3, message([1, "first"])], [3, container]);
  const containers = Pod.decode(message([4, spec])).spec?.containers;
  assert.deepEqual(
    containers?.map(({ name }) => name),
    ["first", "c"],
  );
  const bytes = message([1, message([4, spec], [77, "x"])], [9, 1]);
  assert.deepEqual(unknownWireFields(podWrite, bytes), [
    'unknown field 99 of "object.spec.containers[1]"',
    'unknown field 1000 of "object.spec.containers[1]"',
    'unknown field 77 of "object"',
    "unknown field 9",
  ]);
});

test("a known number with another wire type is unknown: decoding drops it", () => {
  const bytes = message([1, message([3, message([1, 7], [7, "text"])])]);
  assert.deepEqual(PodWrite.decode(bytes), { object: { metadata: {} } });
  assert.deepEqual(unknownWireFields(podWrite, bytes), [
    'unknown field 1 of "object.metadata"',
    'unknown field 7 of "object.metadata"',
  ]);
});

test("messages in maps are looked into, by their keys", () => {
  const beat = message([1, "time"], [50, 1]);
  const bytes = message([4, message([1, "node-a"], [2, beat])], [4, message([3, 1])]);
  assert.ok(NodeLiveness.decode(bytes).nodes?.["node-a"]);
  assert.deepEqual(unknownWireFields("trireme.node.v1.NodeLiveness", bytes), [
    'unknown field 50 of "nodes.node-a"',
    'unknown field 3 of "nodes"',
  ]);
});

test("at most so many are named, and bytes that are no message throw", () => {
  const many = Array.from({ length: limits.errors + 50 }, (_, i) => [i + 500, 1] as const);
  assert.equal(unknownWireFields(podWrite, message(...many)).length, limits.errors);
  assert.throws(() => unknownWireFields(podWrite, Buffer.from([10, 200])));
  assert.throws(() => unknownWireFields(podWrite, Buffer.from([0x0f])));
});

test("whatever the bytes are, it ends with an answer or an error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        assert.ok(unknownWireFields(podWrite, bytes).length <= limits.errors);
      } catch (error) {
        assert.ok(error instanceof Error);
      }
    }),
    { numRuns: 2_000 },
  );
});
