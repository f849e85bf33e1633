import assert from "node:assert/strict";
import { test } from "node:test";
import { messages } from "../../proto/gen/schema.ts";
import { fieldSupport, fieldWarnings } from "../../services/kinds/field-support.ts";
import { FieldWarnings, warned } from "../../services/kinds/machinery/field-support.ts";
import { builtInRegistry } from "../../services/kinds/mod.ts";
import { containerRules, podRules } from "../../services/kubelet/pod/fields.ts";
import { deploymentDocument, type Loose, podDocument } from "./documents.ts";

const resources = [...builtInRegistry()];

/** Requests and options that are no part of a kind. */
const requests = [
  "meta.v1.GetRequest",
  "meta.v1.ListRequest",
  "meta.v1.WatchRequest",
  "meta.v1.DeleteRequest",
  "meta.v1.DeleteCollectionRequest",
  "meta.v1.PatchRequest",
  "meta.v1.WriteOptions",
  "core.v1.TokenRequest",
  "core.v1.Binding",
  "core.v1.Eviction",
  "core.v1.LogsRequest",
].map((name) => `trireme.${name}`);

/** Every message whose fields can matter: a field that is warned of or refused ends the walk. */
function reached(): Set<string> {
  const found = new Set<string>();
  const visit = (message: string): void => {
    if (found.has(message)) return;
    found.add(message);
    for (const [name, field] of Object.entries(messages[message]?.fields ?? {})) {
      const support = fieldSupport[message]?.[name];
      const hasParts =
        support?.verdict === "behaves" || (support?.verdict === "warned" && support.pending);
      if (field.message !== undefined && hasParts) visit(field.message);
    }
  };
  for (const { schema } of resources) visit(schema.message ?? "");
  for (const message of requests) visit(message);
  return found;
}

test("every field of every kind and request has a verdict, and no verdict is stale", () => {
  const missing: string[] = [];
  const messagesReached = reached();
  for (const message of messagesReached) {
    const fields = Object.keys(messages[message]?.fields ?? {});
    const known = fieldSupport[message] ?? {};
    missing.push(
      ...fields.filter((name) => !Object.hasOwn(known, name)).map((name) => `${message}.${name}`),
    );
  }
  assert.deepEqual(missing, []);
  const stale: string[] = [];
  for (const [message, support] of Object.entries(fieldSupport)) {
    if (!messagesReached.has(message)) stale.push(message);
    const fields = messages[message]?.fields ?? {};
    const gone = Object.keys(support).filter((name) => !Object.hasOwn(fields, name));
    stale.push(...gone.map((name) => `${message}.${name}`));
  }
  assert.deepEqual(stale, []);
});

test("a field without effect is named by its path, a harmless value is not", () => {
  const pod: Loose = podDocument();
  assert.deepEqual(fieldWarnings("trireme.core.v1.Pod", pod), []);
  pod.spec.hostUsers = false;
  pod.spec.dnsPolicy = "ClusterFirst";
  pod.spec.containers.push({ name: "b", image: "b", volumeDevices: [{ name: "v" }] });
  pod.spec.volumes = [{ name: "v", nfs: { server: "s", path: "/" } }];
  const fields = fieldWarnings("trireme.core.v1.Pod", pod).map((text) => text.split(":")[0]);
  assert.deepEqual(fields, [
    "spec.containers[1].volumeDevices",
    "spec.hostUsers",
    "spec.volumes[0].nfs",
  ]);
});

test("templates are warned about like pods, unknown messages never", () => {
  const deployment = deploymentDocument();
  deployment.spec.template.spec.imagePullSecrets = [{ name: "s" }];
  const [first, ...more] = fieldWarnings("trireme.apps.v1.Deployment", deployment);
  assert.match(first ?? "", /^spec\.template\.spec\.imagePullSecrets: /);
  assert.deepEqual(more, []);
  assert.deepEqual(fieldWarnings("example.com.Custom", deployment), []);
});

test("a default that the apiserver fills in is never warned about", () => {
  for (const kind of resources) {
    const document: Loose = { apiVersion: kind.group, kind: kind.kind, metadata: { name: "a" } };
    if (kind.kind === "Pod") Object.assign(document, podDocument());
    if (kind.group === "apps") document.spec = deploymentDocument().spec;
    // What a kind says of each of its objects, it says with and without defaults.
    const asWritten = fieldWarnings(kind.schema.message, document);
    kind.setDefaults(document);
    assert.deepEqual(fieldWarnings(kind.schema.message, document), asWritten, kind.kind);
  }
});

test("warnings are bounded", () => {
  const support = {
    "trireme.core.v1.Pod": {},
    "trireme.core.v1.Container": warned("image", "has no effect"),
  };
  const spec = { containers: Array.from({ length: 200 }, () => ({ image: "x" })) };
  assert.equal(new FieldWarnings(support).of("trireme.core.v1.Pod", { spec }).length, 32);
});

/** Whether the table leaves the field to a reader without a warning; `path` as the kubelet has it. */
function isTakenForGranted(message: string, path: readonly string[]): boolean {
  const [name = "", ...rest] = path;
  const field = messages[message]?.fields[name];
  assert.ok(field, `${message} has no field ${name}`);
  const support = fieldSupport[message]?.[name];
  if (support?.verdict !== "behaves") return false;
  return rest.length === 0 || isTakenForGranted(field.message ?? "", rest);
}

test("what no runtime of the kubelet enforces is warned of or refused when it is written", () => {
  const granted = [
    ...podRules.map((rule) => ({ ...rule, message: "trireme.core.v1.Pod" })),
    ...containerRules.map((rule) => ({ ...rule, message: "trireme.core.v1.Container" })),
  ]
    .filter(({ needs }) => needs === "never")
    .filter(({ message, field }) =>
      isTakenForGranted(message, field.replaceAll("[]", "").split(".")),
    );
  assert.deepEqual(
    granted.map(({ field }) => field),
    [],
  );
});
