/** Options of requests: what upstream's apimachinery `meta/v1/validation` and `BeforeDelete` say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { restWorld } from "./harness.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const json = { "content-type": "application/json" };
const merge = { "content-type": "application/merge-patch+json" };
const configMap = (name: string, metadata = {}) => ({ metadata: { name, ...metadata } });
const unsupportedDryRun = 'dryRun: Unsupported value: ["Foo"]: supported values: "All"';
const longName = "x".repeat(129);

const refused = [
  ["POST", "?dryRun=Foo", configMap("b"), "CreateOptions", unsupportedDryRun],
  ["PUT", "/a?dryRun=Foo", configMap("a"), "UpdateOptions", unsupportedDryRun],
  ["PATCH", "/a?dryRun=Foo", {}, "PatchOptions", unsupportedDryRun],
  ["DELETE", "/a?dryRun=Foo", undefined, "DeleteOptions", unsupportedDryRun],
  ["DELETE", "/a", { dryRun: ["Foo"] }, "DeleteOptions", unsupportedDryRun],
  [
    ...["POST", `?fieldManager=${longName}`, configMap("b"), "CreateOptions"],
    "fieldManager: Too long: may not be more than 128 bytes",
  ],
  [
    ...["PATCH", "/a?fieldManager=a%01", {}, "PatchOptions"],
    'fieldManager: Invalid value: "a\\u0001": invalid character U+0001 (at position 1)',
  ],
  [
    ...["POST", "?fieldValidation=Foo", configMap("b"), "CreateOptions"],
    'fieldValidation: Unsupported value: "Foo": supported values: "", "Ignore", "Strict", "Warn"',
  ],
  [
    ...["DELETE", "/a?propagationPolicy=Foo", undefined, "DeleteOptions"],
    'propagationPolicy: Unsupported value: "Foo": ' +
      'supported values: "Foreground", "Background", "Orphan", "nil"',
  ],
  [
    ...["DELETE", "/a", { propagationPolicy: "Orphan", orphanDependents: true }, "DeleteOptions"],
    'propagationPolicy: Invalid value: "Orphan": ' +
      "orphanDependents and deletionPropagation cannot be both set",
  ],
  [
    ...["GET", "?resourceVersion=0&resourceVersionMatch=Exact", undefined, "ListOptions"],
    'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for ' +
      'resourceVersion "0"',
  ],
  [
    ...["GET", "?resourceVersion=1&resourceVersionMatch=Odd", undefined, "ListOptions"],
    'resourceVersionMatch: Unsupported value: "Odd": ' +
      'supported values: "Exact", "NotOlderThan", ""',
  ],
  [
    ...["GET", "?sendInitialEvents=true", undefined, "ListOptions"],
    "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
  ],
] as const;

test("options that are none are invalid, each with its cause", async () => {
  await using world = await restWorld();
  await world.ask(configMaps, { method: "POST", headers: json, body: configMap("a") });
  for (const [method, path, body, kind, problem] of refused) {
    const headers = method === "PATCH" ? merge : json;
    const answer = await world.ask(`${configMaps}${path}`, { method, headers, body });
    const { code, reason, message, details } = answer.json;
    const wanted = `${kind}.meta.k8s.io "" is invalid: ${problem}`;
    assert.deepEqual([code, reason, message], [422, "Invalid", wanted], answer.text);
    assert.deepEqual([details.group, details.kind], ["meta.k8s.io", kind]);
    assert.equal(`${details.causes[0].field}: ${details.causes[0].message}`, problem);
  }
  assert.equal((await world.ask(`${configMaps}/a`)).status, 200);
});

test("preconditions of a deletion name the two values; a negative grace period is a second", async () => {
  await using world = await restWorld();
  const made = await world.ask(configMaps, { method: "POST", headers: json, body: configMap("a") });
  const { uid, resourceVersion } = made.json.metadata;
  const remove = (body: unknown) =>
    world.ask(`${configMaps}/a`, { method: "DELETE", headers: json, body });
  const byUid = await remove({ preconditions: { uid: "x" } });
  assert.equal(byUid.status, 409);
  assert.equal(
    byUid.json.message,
    `Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (x) does not ` +
      `match the UID in record (${uid}). The object might have been deleted and then recreated`,
  );
  const byVersion = await remove({ preconditions: { resourceVersion: "1" } });
  assert.equal(
    byVersion.json.message,
    `Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) ` +
      `does not match the ResourceVersion in record (${resourceVersion}). ` +
      "The object might have been modified",
  );
  assert.equal((await remove({ gracePeriodSeconds: -5 })).status, 200);
});

test("a later deletion may choose another propagation", async () => {
  await using world = await restWorld();
  await world.ask(configMaps, { method: "POST", headers: json, body: configMap("a") });
  const remove = async (propagationPolicy: string) => {
    const body = { propagationPolicy };
    return world.ask(`${configMaps}/a`, { method: "DELETE", headers: json, body });
  };
  const foreground = await remove("Foreground");
  assert.deepEqual(foreground.json.metadata.finalizers, ["foregroundDeletion"]);
  const orphan = await remove("Orphan");
  assert.deepEqual(orphan.json.metadata.finalizers, ["orphan"]);
  const background = await remove("Background");
  assert.deepEqual([background.status, background.json.kind], [200, "Status"]);
  assert.equal((await world.ask(`${configMaps}/a`)).status, 404);
});

test("only a deletion that says so shortens a pod's grace period, counted from the first", async () => {
  await using world = await restWorld();
  const pods = "/api/v1/namespaces/default/pods";
  const spec = { nodeName: "n", containers: [{ name: "c", image: "i" }] };
  const body = { metadata: { name: "p" }, spec };
  const made = await world.ask(pods, { method: "POST", headers: json, body });
  assert.equal(made.status, 201, made.text);
  const remove = async (options: object) => {
    const answer = await world.ask(`${pods}/p`, { method: "DELETE", headers: json, body: options });
    const {
      deletionGracePeriodSeconds: seconds,
      deletionTimestamp,
      ...rest
    } = answer.json.metadata;
    return { seconds, end: Date.parse(deletionTimestamp), generation: rest.generation };
  };
  const first = await remove({ gracePeriodSeconds: 1000 });
  assert.equal(first.seconds, 1000);
  assert.deepEqual(await remove({}), first);
  assert.deepEqual(await remove({ gracePeriodSeconds: 2000 }), first);
  const shorter = await remove({ gracePeriodSeconds: 400 });
  assert.deepEqual(shorter, { ...first, seconds: 400, end: first.end - 600_000 });
});

test("a patch leaves an object's name, namespace and uid as they are", async () => {
  await using world = await restWorld();
  await world.ask(configMaps, { method: "POST", headers: json, body: configMap("a") });
  const patch = async (metadata: object) => {
    const body = { metadata };
    const answer = await world.ask(`${configMaps}/a`, { method: "PATCH", headers: merge, body });
    return [answer.status, answer.json.message];
  };
  const namespaces =
    "the namespace of the provided object does not match the namespace sent on the request";
  assert.deepEqual(await patch({ namespace: "other" }), [400, namespaces]);
  assert.deepEqual(await patch({ name: "b" }), [
    400,
    "the name of the object (b) does not match the name on the URL (a)",
  ]);
  assert.deepEqual(await patch({ name: null }), [
    400,
    "the name of the object (a based on URL) was undeterminable: name must be provided",
  ]);
  assert.deepEqual(await patch({ uid: "b" }), [
    422,
    'ConfigMap "a" is invalid: metadata.uid: Invalid value: "b": field is immutable',
  ]);
  const [status, message] = await patch({ deletionTimestamp: "2030-01-01T00:00:00Z" });
  assert.equal(status, 422);
  assert.match(message, /^ConfigMap "a" is invalid: metadata.deletionTimestamp: Invalid value: /);
});

test("an update without a resourceVersion is one of kinds that allow it", async () => {
  await using world = await restWorld();
  const write = async (path: string, method: string, body: object) =>
    (await world.ask(path, { method, headers: json, body })).json;
  await write(configMaps, "POST", configMap("a"));
  const zero = configMap("a", { resourceVersion: "0", labels: { a: "b" } });
  assert.deepEqual((await write(`${configMaps}/a`, "PUT", zero)).metadata.labels, { a: "b" });
  const nodes = "/apis/storage.k8s.io/v1/csinodes";
  const node = { metadata: { name: "n" }, spec: { drivers: [] } };
  await write(nodes, "POST", node);
  const refusal = await write(`${nodes}/n`, "PUT", node);
  assert.equal(
    refusal.message,
    'csinodes.storage.k8s.io "n" is invalid: metadata.resourceVersion: Invalid value: 0: ' +
      "must be specified for an update",
  );
});
