/** Server-side apply through the verb pipeline, and what other writes do to ownership. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatusError } from "../../ha/runtime/status-error.ts";
import type { ManagedFieldsEntry, PatchRequest } from "../../proto/gen/meta.ts";
import {
  type Backend,
  type Call,
  documentBody,
  get,
  patch,
  update,
  updateScale,
} from "../../services/apiserver/verbs/mod.ts";
import { patchScale } from "../../services/apiserver/verbs/subresources.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { adminCall, callAs, configMap, fails, failure, kind, make, world } from "./harness.ts";

const maps = kind("configmaps");
const deployments = kind("deployments");
const at = { namespace: "default" };

interface ApplyOptions extends Omit<PatchRequest, "patch" | "options" | "name"> {
  readonly manager?: string;
  readonly call?: Call;
  readonly dryRun?: string[];
}

function applying(backend: Backend, document: Document | string, options: ApplyOptions = {}) {
  const { manager = "me", call = adminCall(), dryRun, ...rest } = options;
  const text = typeof document === "string" ? document : JSON.stringify(document);
  const found = typeof document === "string" ? maps : kind((document.kind ?? "").toLowerCase());
  const name = typeof document === "string" ? "a" : (document.metadata?.name ?? "");
  return patch(backend, call, found, {
    ...{ ...at, name, patchType: "apply", patch: Buffer.from(text) },
    ...rest,
    options: { fieldManager: manager, ...(dryRun && { dryRun }) },
  });
}

function deployment(spec: object, metadata: object = {}): Document {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", ...metadata },
    spec,
  };
}

const labels = { app: "web" };
const web = (extra: object = {}, container: object = {}) =>
  deployment({
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: { containers: [{ name: "web", image: "nginx:1", ...container }] },
    },
    ...extra,
  });

function managers(document: Document): string[] {
  return (document.metadata?.managedFields ?? []).map(
    ({ manager, operation, subresource }) =>
      `${manager} ${operation}${subresource ? ` ${subresource}` : ""}`,
  );
}

function fieldsOf(document: Document, manager: string): ManagedFieldsEntry["fieldsV1"] {
  return document.metadata?.managedFields?.find((each) => each.manager === manager)?.fieldsV1;
}

test("apply creates what is missing, and its manager owns what it says and no default", async () => {
  await using w = await world();
  const call = adminCall();
  const made = await applying(w.backend, web({ replicas: 3 }), { call });
  assert.equal(call.created, true);
  assert.equal((made.document["spec"] as { replicas: number }).replicas, 3);
  assert.deepEqual(made.document.metadata?.managedFields, [
    {
      manager: "me",
      operation: "Apply",
      apiVersion: "apps/v1",
      time: made.document.metadata?.managedFields?.[0]?.time,
      fieldsType: "FieldsV1",
      fieldsV1: {
        "f:spec": {
          "f:replicas": {},
          "f:selector": {},
          "f:template": {
            "f:metadata": { "f:labels": { "f:app": {} } },
            "f:spec": {
              "f:containers": { 'k:{"name":"web"}': { ".": {}, "f:image": {}, "f:name": {} } },
            },
          },
        },
      },
    },
  ]);
  assert.match(made.document.metadata?.managedFields?.[0]?.time ?? "", /^\d{4}-.*Z$/);
});

test("applying the same again changes nothing, not even the times", async () => {
  await using w = await world();
  const made = await applying(w.backend, web());
  const call = adminCall();
  const again = await applying(w.backend, web(), { call });
  assert.equal(again.revision, made.revision);
  assert.deepEqual(again.document, made.document);
  assert.equal(call.created, undefined);
});

test("what others manage is a conflict with a cause per field, and force takes it", async () => {
  await using w = await world();
  await applying(w.backend, web({ replicas: 1, paused: false }), { manager: "one" });
  const error = await failure(
    applying(w.backend, web({ replicas: 2, paused: true }, { image: "nginx:2" }), {
      manager: "two",
    }),
  );
  assert.equal(error.detail?.reason, "Conflict");
  assert.equal(
    error.message,
    'Apply failed with 3 conflicts: conflicts with "one":\n- .spec.paused\n- .spec.replicas\n' +
      '- .spec.template.spec.containers[name="web"].image',
  );
  assert.deepEqual(error.detail?.causes?.[1], {
    reason: "FieldManagerConflict",
    message: 'conflict with "one"',
    field: ".spec.replicas",
  });
  const forced = await applying(w.backend, web({ replicas: 2 }), { manager: "two", force: true });
  assert.equal((forced.document["spec"] as { replicas: number }).replicas, 2);
  const left = fieldsOf(forced.document, "one") as { "f:spec": object };
  assert.ok(!("f:replicas" in left["f:spec"]));
  assert.ok("f:paused" in left["f:spec"]);
});

test("one conflict is told in one line, with the version of an update", async () => {
  await using w = await world();
  await make(w.backend, configMap("a", { k: "1" }), adminCall({ userAgent: "kubectl/v1.33" }));
  await fails(
    applying(w.backend, configMap("a", { k: "2" })),
    "aborted",
    'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.k',
  );
});

test("equal values have several owners; what one drops stays until the last drops it", async () => {
  await using w = await world();
  await applying(w.backend, configMap("a", { k: "1", one: "x" }), { manager: "one" });
  await applying(w.backend, configMap("a", { k: "1" }), { manager: "two" });
  const bare = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } };
  const dropped = await applying(w.backend, bare, { manager: "one" });
  assert.deepEqual(dropped.document["data"], { k: "1" });
  assert.deepEqual(managers(dropped.document), ["two Apply"]);
  const gone = await applying(w.backend, bare, { manager: "two" });
  assert.equal(gone.document["data"], undefined);
  assert.equal(gone.document.metadata?.managedFields, undefined);
});

test("elements of a list by key are merged, kept in order, and removed with their owner", async () => {
  await using w = await world();
  const containers = (...names: string[]) =>
    web({
      template: {
        metadata: { labels },
        spec: { containers: names.map((name) => ({ name, image: "i" })) },
      },
    });
  const names = (document: Document) =>
    (
      document["spec"] as { template: { spec: { containers: { name: string }[] } } }
    ).template.spec.containers.map(({ name }) => name);
  await applying(w.backend, containers("a", "b"), { manager: "one" });
  const both = await applying(w.backend, containers("c", "b"), { manager: "two" });
  assert.deepEqual(names(both.document), ["a", "c", "b"]);
  const left = await applying(w.backend, containers("a"), { manager: "one" });
  assert.deepEqual(names(left.document), ["a", "c", "b"]);
  const last = await applying(w.backend, containers("c"), { manager: "two" });
  assert.deepEqual(names(last.document), ["a", "c"]);
});

test("ports are told apart by number and protocol, which is TCP when absent", async () => {
  await using w = await world();
  const ports = [{ containerPort: 53 }, { containerPort: 53, protocol: "UDP" }];
  const made = await applying(w.backend, web({}, { ports }));
  const owned = JSON.stringify(fieldsOf(made.document, "me"));
  assert.ok(owned.includes(String.raw`k:{\"containerPort\":53,\"protocol\":\"TCP\"}`), owned);
  const again = [{ containerPort: 53, protocol: "TCP" }];
  const next = await applying(w.backend, web({}, { ports: again }));
  assert.deepEqual(
    (next.document["spec"] as { template: { spec: { containers: { ports: object[] }[] } } })
      .template.spec.containers[0]?.ports,
    again,
  );
});

test("creations, updates and patches are tracked by manager, or by the program that sends", async () => {
  await using w = await world();
  const made = await make(
    w.backend,
    configMap("a", { k: "1" }, { labels: { x: "y" } }),
    adminCall({ userAgent: "kubectl/v1.33.0 (linux/amd64)" }),
  );
  assert.deepEqual(fieldsOf(made.document, "kubectl"), {
    "f:data": { ".": {}, "f:k": {} },
    "f:metadata": { "f:labels": { ".": {}, "f:x": {} } },
  });
  const next = { ...made.copy(), data: { k: "2", l: "3" } };
  const updated = await update(w.backend, adminCall({ userAgent: "robot" }), maps, {
    ...{ body: documentBody(next), subresource: "", typed: false },
  });
  assert.deepEqual(fieldsOf(updated.document, "robot"), { "f:data": { "f:k": {}, "f:l": {} } });
  assert.deepEqual(fieldsOf(updated.document, "kubectl"), {
    "f:data": {},
    "f:metadata": { "f:labels": { ".": {}, "f:x": {} } },
  });
  for (const [patchType, body] of [
    ["application/json-patch+json", [{ op: "replace", path: "/data/l", value: "json" }]],
    ["application/merge-patch+json", { data: { l: "merge" } }],
    ["application/strategic-merge-patch+json", { data: { l: "strategic" } }],
  ] as const) {
    const patched = await patch(w.backend, adminCall(), maps, {
      ...{ ...at, name: "a", patchType, patch: Buffer.from(JSON.stringify(body)) },
      options: { fieldManager: patchType.slice(12, 17) },
    });
    assert.deepEqual(fieldsOf(patched.document, patchType.slice(12, 17)), {
      "f:data": { "f:l": {} },
    });
    assert.equal(managers(patched.document).length, 3);
  }
});

test("a write that changes nothing leaves the managers alone", async () => {
  await using w = await world();
  const made = await make(w.backend, configMap("a", { k: "1" }));
  const same = await update(w.backend, adminCall({ userAgent: "other" }), maps, {
    ...{ body: documentBody(made.copy()), subresource: "", typed: false },
  });
  assert.equal(same.revision, made.revision);
});

test("status and scale have managers of their own", async () => {
  await using w = await world();
  const made = await applying(w.backend, web({ replicas: 1 }));
  const status = { ...made.copy(), status: { replicas: 1, observedGeneration: 1 } };
  const reported = await update(w.backend, adminCall({ userAgent: "controller" }), deployments, {
    ...{ body: documentBody(status), subresource: "status", typed: false },
  });
  assert.deepEqual(managers(reported.document), ["me Apply", "controller Update status"]);
  assert.deepEqual(fieldsOf(reported.document, "controller"), {
    "f:status": { "f:observedGeneration": {}, "f:replicas": {} },
  });
  await updateScale(w.backend, adminCall({ userAgent: "hpa" }), deployments, {
    object: { metadata: { name: "web", ...at }, spec: { replicas: 4 } },
  });
  const { document } = await get(w.backend, adminCall(), deployments, { ...at, name: "web" });
  assert.ok(managers(document).includes("hpa Update scale"));
  assert.deepEqual(fieldsOf(document, "hpa"), { "f:spec": { "f:replicas": {} } });
  await fails(
    applying(w.backend, web({ replicas: 1 })),
    "aborted",
    'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: ' +
      ".spec.replicas",
  );
  const without = await applying(w.backend, web());
  assert.equal((without.document["spec"] as { replicas: number }).replicas, 4);
});

test("replicas are applied by the scale subresource", async () => {
  await using w = await world();
  await applying(w.backend, web({ replicas: 1 }));
  const scale = (replicas: number) => ({
    ...{ ...at, name: "web", patchType: "application/apply-patch+yaml" },
    patch: Buffer.from(
      `apiVersion: autoscaling/v1\nkind: Scale\nmetadata: {name: web}\nspec: {replicas: ${replicas}}`,
    ),
    options: { fieldManager: "scaler" },
  });
  await fails(
    patchScale(w.backend, adminCall(), deployments, scale(5)),
    "aborted",
    'Apply failed with 1 conflict: conflict with "me": .spec.replicas',
  );
  const forced = { ...scale(5), force: true };
  const result = await patchScale(w.backend, adminCall(), deployments, forced);
  assert.equal(result.spec?.replicas, 5);
  const { document } = await get(w.backend, adminCall(), deployments, { ...at, name: "web" });
  assert.ok(managers(document).includes("scaler Apply scale"));
  assert.deepEqual(fieldsOf(document, "scaler"), { "f:spec": { "f:replicas": {} } });
});

test("a status is applied by its subresource, and claims nothing of the rest", async () => {
  await using w = await world();
  await applying(w.backend, web());
  const withStatus = { ...web({ replicas: 9 }), status: { replicas: 7 } };
  const applied = await applying(w.backend, withStatus, {
    ...{ manager: "status-er", subresource: "status" },
  });
  const { spec, status } = applied.document as { spec?: { replicas: number }; status?: object };
  assert.equal(spec?.replicas, 1);
  assert.deepEqual(status, { replicas: 7 });
  assert.deepEqual(fieldsOf(applied.document, "status-er"), { "f:status": { "f:replicas": {} } });
  const main = await applying(w.backend, { ...web(), status: { replicas: 8 } });
  assert.deepEqual(main.document["status"], { replicas: 7 });
  assert.ok(!("f:status" in (fieldsOf(main.document, "me") ?? {})));
  await fails(
    patch(w.backend, adminCall(), deployments, {
      ...{ ...at, name: "none", patchType: "apply", subresource: "status" },
      patch: Buffer.from(JSON.stringify(deployment({}, { name: "none" }))),
      options: { fieldManager: "me" },
    }),
    "notFound",
    'deployments.apps "none" not found',
  );
});

test("what an applier may not send is refused in upstream's words", async () => {
  await using w = await world();
  const refused = async (document: Document | string, options: ApplyOptions = {}) => {
    const error: StatusError = await failure(applying(w.backend, document, options));
    return `${error.detail?.reason}: ${error.message}`;
  };
  assert.equal(
    await refused(configMap("a"), { manager: "" }),
    'Invalid: PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required ' +
      "for apply patch",
  );
  assert.equal(
    await refused(configMap("a", {}, { managedFields: [] })),
    "BadRequest: metadata.managedFields must be nil",
  );
  assert.match(await refused("{"), /^BadRequest: error decoding YAML: /);
  assert.match(await refused("[]"), /^BadRequest: error decoding YAML: /);
  assert.equal(
    await refused({ ...configMap("a"), nonsense: 1 } as Document),
    "BadRequest: failed to create typed patch object (default/a; /v1, Kind=ConfigMap): " +
      ".nonsense: field not declared in schema",
  );
  assert.equal(
    await refused(web({}, { imag: "x", ports: [{ containerPort: 1 }, { containerPort: 1 }] })),
    "BadRequest: failed to create typed patch object (/web; apps/v1, Kind=Deployment): errors:\n" +
      '  .spec.template.spec.containers[name="web"].imag: field not declared in schema\n' +
      '  .spec.template.spec.containers[name="web"].ports: duplicate entries for key ' +
      '[containerPort=1,protocol="TCP"]',
  );
  assert.match(
    await refused({ ...configMap("a"), apiVersion: "v2" }),
    /^BadRequest: invalid object type: v2, Kind=ConfigMap/,
  );
  assert.match(
    await refused(configMap("a", {}, { uid: "00000000-0000-0000-0000-000000000001" })),
    /uid mismatch: the provided object specified uid .*, and no existing object was found$/,
  );
  assert.match(await refused(configMap("a", {}, { resourceVersion: "5" })), /^Conflict: /);
  await fails(
    patch(w.backend, adminCall(), maps, {
      ...{ ...at, name: "a", patchType: "application/merge-patch+json", force: true },
      patch: Buffer.from("{}"),
    }),
    "invalidArgument",
    'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for ' +
      "non-apply patch",
  );
});

test("the configuration may be YAML, and names must agree", async () => {
  await using w = await world();
  const yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: 'yes'\n";
  const made = await applying(w.backend, yaml);
  assert.deepEqual(made.document["data"], { k: "yes" });
  await fails(
    applying(w.backend, yaml.replace("name: a", "name: b")),
    "invalidArgument",
    "the name of the object (b) does not match the name on the URL (a)",
  );
});

test("an application may be rehearsed, and creating by it needs the right to create", async () => {
  await using w = await world();
  const rehearsed = await applying(w.backend, configMap("a", { k: "1" }), { dryRun: ["All"] });
  assert.deepEqual(managers(rehearsed.document), ["me Apply"]);
  await fails(
    get(w.backend, adminCall(), maps, { ...at, name: "a" }),
    "notFound",
    'configmaps "a" not found',
  );
  await fails(
    applying(w.backend, configMap("a"), { call: callAs("nobody") }),
    "permissionDenied",
    /nobody/,
  );
});

test("null claims a field, takes its value away, and contests nothing where there is none", async () => {
  await using w = await world();
  const stamped = web({ replicas: null, paused: true });
  const { template } = stamped["spec"] as { template: { metadata: Record<string, unknown> } };
  template.metadata["creationTimestamp"] = null;
  const made = await applying(w.backend, stamped);
  assert.equal((made.document["spec"] as { replicas: number }).replicas, 1);
  const owned = JSON.stringify(fieldsOf(made.document, "me"));
  assert.ok(owned.includes('"f:replicas":{}') && owned.includes('"f:creationTimestamp":{}'), owned);
  const { paused: _, replicas: _replicas, ...spec } = stamped["spec"] as Record<string, unknown>;
  const same = await applying(w.backend, deployment(spec), { manager: "other" });
  assert.deepEqual(managers(same.document), ["me Apply", "other Apply"]);
  const none = await applying(w.backend, web({ paused: null }));
  assert.ok(!("paused" in (none.document["spec"] as object)));
});

test("an object from before tracking has one owner for everything", async () => {
  await using w = await world();
  const made = await make(w.backend, configMap("a", { k: "1" }));
  const reset = await update(w.backend, adminCall(), maps, {
    ...{ subresource: "", typed: false },
    body: documentBody({
      ...made.copy(),
      metadata: { ...made.copy().metadata, managedFields: [] },
    }),
  });
  assert.equal(reset.document.metadata?.managedFields, undefined);
  const untracked = await update(w.backend, adminCall(), maps, {
    ...{ body: documentBody({ ...reset.copy(), data: { k: "2" } }), subresource: "", typed: false },
  });
  assert.equal(untracked.document.metadata?.managedFields, undefined);
  await fails(
    applying(w.backend, configMap("a", { k: "3" })),
    "aborted",
    'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.k',
  );
  const applied = await applying(w.backend, configMap("a", { k: "2" }));
  assert.deepEqual(managers(applied.document), ["me Apply", "before-first-apply Update"]);
});

test("kubectl's server-side apply carries on from its client-side one", async () => {
  await using w = await world();
  const annotation = "kubectl.kubernetes.io/last-applied-configuration";
  const last = configMap("a", { k: "1", other: "x" });
  await make(
    w.backend,
    configMap(
      "a",
      { k: "1", other: "changed" },
      {
        annotations: { [annotation]: JSON.stringify(last) },
      },
    ),
    adminCall({ userAgent: "kubectl-client-side-apply" }),
  );
  await fails(
    applying(w.backend, configMap("a", { k: "2", other: "y" }), { manager: "kubectl" }),
    "aborted",
    'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.other',
  );
  const applied = await applying(w.backend, configMap("a", { k: "2" }), { manager: "kubectl" });
  assert.deepEqual(applied.document["data"], { k: "2", other: "changed" });
  const kept = JSON.parse(
    applied.document.metadata?.annotations?.[annotation] ?? "null",
  ) as Document;
  assert.deepEqual(kept["data"], { k: "2" });
});

test("a repeated application is answered as it first was", async () => {
  await using w = await world();
  const once = () => adminCall({ requestId: "apply-once" });
  const first = await applying(w.backend, configMap("a", { k: "1" }), { call: once() });
  await applying(w.backend, configMap("a", { k: "2" }), { manager: "other", force: true });
  const again = await applying(w.backend, configMap("a", { k: "1" }), { call: once() });
  assert.equal(again.revision, first.revision);
  assert.deepEqual(again.document, first.document);
  const taking = { call: adminCall({ requestId: "apply-twice" }), force: true };
  const taken = await applying(w.backend, configMap("a", { k: "3" }), taking);
  await applying(w.backend, configMap("a", { k: "4" }), { manager: "other", force: true });
  const repeated = await applying(w.backend, configMap("a", { k: "3" }), taking);
  assert.deepEqual(repeated.document, taken.document);
});

test("updates of many managers are bounded", async () => {
  await using w = await world();
  await make(w.backend, configMap("a", {}), adminCall({ userAgent: "maker" }));
  for (let count = 0; count < 14; count++) {
    await patch(w.backend, adminCall(), maps, {
      ...{ ...at, name: "a", patchType: "application/merge-patch+json" },
      patch: Buffer.from(JSON.stringify({ data: { [`k${count}`]: "v" } })),
      options: { fieldManager: `m${String(count).padStart(2, "0")}` },
    });
  }
  const { document } = await get(w.backend, adminCall(), maps, { ...at, name: "a" });
  const entries = document.metadata?.managedFields ?? [];
  assert.equal(entries.length, 10);
  const ancient = entries.find(({ manager }) => manager === "ancient-changes");
  assert.ok(ancient);
  const all = entries.flatMap(({ fieldsV1 }) =>
    Object.keys((fieldsV1 as { "f:data": object })["f:data"]).filter((name) => name !== "."),
  );
  assert.equal(all.length, 14);
});

test("managedFields that make no sense are passed over, sound ones are kept", async () => {
  await using w = await world();
  const made = await make(w.backend, configMap("a", { k: "1" }), adminCall({ userAgent: "maker" }));
  const sent = (managedFields: ManagedFieldsEntry[]) =>
    update(w.backend, adminCall(), maps, {
      ...{ subresource: "", typed: false },
      body: documentBody({ ...made.copy(), metadata: { ...made.copy().metadata, managedFields } }),
    });
  const nonsense = await sent([{ manager: "x", operation: "Whatever", apiVersion: "v1" }]);
  assert.deepEqual(managers(nonsense.document), ["maker Update"]);
  const entry = made.document.metadata?.managedFields?.[0];
  const renamed = await sent([{ ...entry, manager: "another", operation: "Apply" }]);
  assert.deepEqual(managers(renamed.document), ["another Apply"]);
});
