import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatDuration,
  generateName,
  parseTime,
  rfc3339Micro,
  rfc3339Seconds,
  validateMetadata,
  validateMetadataUpdate,
} from "../../services/kinds/mod.ts";
import type { Loose } from "./documents.ts";
import { registry } from "./registry.ts";

const pods = registry.find("pods")!;
const namespaces = registry.find("namespaces")!;
const services = registry.find("services")!;
const owner = { apiVersion: "v1", kind: "Node", name: "n", uid: "u" };

test("metadata: valid and invalid", () => {
  const rows: [Loose, string[]][] = [
    [{}, []],
    [{ name: "a.b-c" }, []],
    [{ name: "" }, ["FieldValueRequired metadata.name"]],
    [{ name: "A" }, ["FieldValueInvalid metadata.name"]],
    [{ name: "a".repeat(254) }, ["FieldValueInvalid metadata.name"]],
    [{ generateName: "web-" }, []],
    [{ generateName: "Web-" }, ["FieldValueInvalid metadata.generateName"]],
    [{ namespace: "" }, ["FieldValueRequired metadata.namespace"]],
    [{ namespace: "a.b" }, ["FieldValueInvalid metadata.namespace"]],
    [{ labels: { "example.com/a": "b", c: "" } }, []],
    [{ labels: { "-a": "b" } }, ["FieldValueInvalid metadata.labels"]],
    [{ labels: { a: "b c" } }, ["FieldValueInvalid metadata.labels"]],
    [{ annotations: { "Example.com/A": "any\nthing" } }, []],
    [{ annotations: { a: "x".repeat(262_144) } }, ["FieldValueTooLong metadata.annotations"]],
    [{ finalizers: ["example.com/x", "orphan"] }, []],
    [{ finalizers: ["x"] }, ["FieldValueInvalid metadata.finalizers[0]"]],
    [{ finalizers: ["orphan", "foregroundDeletion"] }, ["FieldValueInvalid metadata.finalizers"]],
    [{ ownerReferences: [owner] }, []],
    [
      { ownerReferences: [{ ...owner, uid: "" }] },
      ["FieldValueInvalid metadata.ownerReferences.uid"],
    ],
    [
      {
        ownerReferences: [
          { ...owner, controller: true },
          { ...owner, controller: true },
        ],
      },
      ["FieldValueInvalid metadata.ownerReferences"],
    ],
    [{ creationTimestamp: "now" }, ["FieldValueInvalid metadata.creationTimestamp"]],
  ];
  for (const [change, expected] of rows) {
    const metadata = { name: "a", namespace: "default", ...change };
    const causes = validateMetadata(pods, { metadata });
    assert.deepEqual(
      causes.map(({ reason, field }) => `${reason} ${field}`),
      expected,
    );
  }
  const [scope] = validateMetadata(namespaces, { metadata: { name: "a", namespace: "b" } });
  assert.equal(scope?.message, "Forbidden: not allowed on this type");
  const [rule] = validateMetadata(services, { metadata: { name: "1a", namespace: "b" } });
  assert.match(rule?.message ?? "", /a DNS-1035 label must consist/);
  const [missing] = validateMetadata(pods, { metadata: { namespace: "b" } });
  assert.equal(missing?.message, "Required value: name or generateName is required");
});

test("metadata: what may not change", () => {
  const stored = {
    metadata: {
      name: "a",
      uid: "1",
      deletionTimestamp: "2026-01-01T00:00:00Z",
      finalizers: ["a.io/x"],
    },
  };
  const problems = (change: Loose) =>
    validateMetadataUpdate({ metadata: { ...stored.metadata, ...change } }, stored).map(
      ({ reason, field }) => `${reason} ${field}`,
    );
  assert.deepEqual(problems({ labels: { a: "b" }, finalizers: [] }), []);
  assert.deepEqual(problems({ uid: "2" }), ["FieldValueInvalid metadata.uid"]);
  assert.deepEqual(problems({ finalizers: ["a.io/y"] }), [
    "FieldValueForbidden metadata.finalizers",
  ]);
});

test("generated names", () => {
  let next = 0;
  const random = (limit: number) => next++ % limit;
  assert.equal(generateName("web-", random), "web-bcdfg");
  assert.equal(generateName("x".repeat(100), random).length, 63);
});

test("times and durations", () => {
  const when = Date.UTC(2026, 10, 23, 10, 29, 5, 7);
  assert.equal(rfc3339Seconds(when), "2026-11-23T10:29:05Z");
  assert.equal(rfc3339Micro(when, 42), "2026-11-23T10:29:05.007042Z");
  assert.equal(parseTime("2026-11-23T10:29:05.007042Z"), when);
  assert.equal(parseTime("2026-11-23T12:29:05+02:00"), when - 7);
  for (const text of ["", "2026-02-30T00:00:00Z", "2026-11-23", "2026-11-23T25:00:00Z"]) {
    assert.equal(parseTime(text), undefined, text);
  }
  const [minute, hour, day] = [60, 3_600, 86_400];
  const rows: [number, string][] = [
    [-5, "<invalid>"],
    [0, "0s"],
    [5, "5s"],
    [119, "119s"],
    [2 * minute + 3, "2m3s"],
    [12 * minute + 30, "12m"],
    [3 * hour + 12 * minute, "3h12m"],
    [8 * hour + 12 * minute, "8h"],
    [47 * hour, "47h"],
    [2 * day, "2d"],
    [5 * day + 3 * hour, "5d3h"],
    [9 * day + 3 * hour, "9d"],
    [800 * day, "2y70d"],
    [4000 * day, "10y"],
  ];
  for (const [seconds, text] of rows) assert.equal(formatDuration(seconds * 1000), text);
});
