/** Versions that a webhook converts: what it is asked, what it may answer, and how it is bounded. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type FinishedSpan, parseTraceparent, Tracer } from "../../ha/runtime/trace.ts";
import { createAuthority } from "../../services/apiserver/mod.ts";
import { Semaphore } from "../../services/apiserver/semaphore.ts";
import { jsonBody } from "../../services/apiserver/verbs/body.ts";
import {
  type Backend,
  create,
  get,
  list,
  patch,
  watch,
} from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry, type Document, type Resource } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, fails, Reader, world } from "./harness.ts";

type Loose = Record<string, unknown>;
interface Review {
  request: { uid: string; desiredAPIVersion: string; objects: Document[] };
}

const group = "fleet.example.com";
let directory: string;
let server: Server;
let caBundle: string;
const asked: Review["request"][] = [];
/** The last that the webhook was told. */
let traceparent: string | undefined;
/** Changes the answer of the webhook, for the tests of wrong ones. */
let spoil: (response: Loose) => Loose = (response) => response;

/** v1 has spec.metres, v1beta1 has spec.length. */
function converted(document: Document, apiVersion: string): Document {
  const { length, metres, ...rest } = document["spec"] as Loose;
  const value = length ?? metres;
  const spec = apiVersion.endsWith("/v1") ? { metres: value } : { length: value };
  return { ...document, apiVersion, spec: { ...rest, ...spec } };
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "trireme-webhook-"));
  const authority = await createAuthority(directory);
  const tls = await authority.issue({ commonName: "w", hosts: ["127.0.0.1"], use: "server" });
  caBundle = Buffer.from(authority.cert).toString("base64");
  server = createServer({ cert: tls.cert, key: tls.key }, (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      traceparent = request.headers["traceparent"] as string | undefined;
      const review = JSON.parse(Buffer.concat(parts).toString()) as Review;
      asked.push(review.request);
      const { uid, desiredAPIVersion, objects } = review.request;
      const answer = spoil({
        uid,
        result: { status: "Success" },
        convertedObjects: objects.map((each) => converted(each, desiredAPIVersion)),
      });
      const body = {
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "ConversionReview",
        response: answer,
      };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true, force: true });
});

function version(name: string, field: string, storage: boolean): Loose {
  const spec = {
    type: "object",
    properties: { [field]: { type: "integer" }, wood: { type: "string", default: "ash" } },
  };
  const schema = { openAPIV3Schema: { type: "object", properties: { spec } } };
  return {
    name,
    served: true,
    storage,
    schema,
    selectableFields: [{ jsonPath: `.spec.${field}` }],
  };
}

async function served(backend: Backend, conversion: Loose): Promise<[Resource, Resource]> {
  const definitions = backend.registry.required(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
  );
  const document = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `oars.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "oars", kind: "Oar" },
      versions: [version("v1", "metres", true), version("v1beta1", "length", false)],
      conversion,
    },
  };
  const body = jsonBody(definitions, Buffer.from(JSON.stringify(document)));
  await create(backend, adminCall(), definitions, { body });
  const find = (name: string) => backend.registry.byPlural(`${group}/${name}`, "oars");
  await eventually("both versions are served", () => find("v1beta1") !== undefined);
  const [newer, older] = [find("v1"), find("v1beta1")];
  assert.ok(newer && older);
  return [newer, older];
}

function webhook(extra: Loose = {}): Loose {
  const { port } = server.address() as AddressInfo;
  const clientConfig = { url: `https://127.0.0.1:${port}/convert`, caBundle, ...extra };
  return { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } };
}

function oar(name: string, spec: Loose): Document {
  return {
    apiVersion: `${group}/v1beta1`,
    kind: "Oar",
    metadata: { name, namespace: "default" },
    spec,
  };
}

function send(backend: Backend, resource: Resource, document: Document) {
  const body = jsonBody(resource, Buffer.from(JSON.stringify(document)));
  return create(backend, adminCall(), resource, { body, namespace: "default" });
}

const at = (name: string) => ({ name, namespace: "default" });

test("a webhook converts what is stored, read, listed and watched", async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  const [newer, older] = await served(backend, webhook());
  const made = await send(backend, older, oar("a", { length: 3 }));
  assert.deepEqual(made.document["spec"], { length: 3, wood: "ash" });
  const stored = await w.store.range({ key: Buffer.from(`/registry/${group}/oars/default/a`) });
  const text = JSON.parse(Buffer.from(stored.kvs[0]?.value ?? "").toString()) as Document;
  assert.deepEqual([text.apiVersion, text["spec"]], [`${group}/v1`, { metres: 3, wood: "ash" }]);
  const seen = await get(backend, adminCall(), newer, at("a"));
  assert.deepEqual(seen.document["spec"], { wood: "ash", metres: 3 });
  for (const name of ["b", "c"]) await send(backend, older, oar(name, { length: 5 }));
  const before = asked.length;
  const some = await list(backend, adminCall(), older, { fieldSelector: "spec.length=5" });
  assert.deepEqual(
    some.items.map(({ name }) => name),
    ["b", "c"],
  );
  await list(backend, adminCall(), older, {});
  assert.ok(asked.length - before <= 1, "each object is converted once, many at a time");
  const abort = new AbortController();
  const reader = new Reader(
    watch(backend, adminCall({ signal: abort.signal }), older, { namespace: "default" }),
    abort,
  );
  await eventually("what there is", () => reader.items.length === 3);
  await patch(backend, adminCall(), newer, {
    ...at("a"),
    patchType: "application/merge-patch+json",
    patch: Buffer.from('{"spec":{"metres":9}}'),
  });
  await eventually("the change", () => reader.items.length === 4);
  assert.deepEqual(reader.items.at(-1)?.object.document["spec"], { length: 9, wood: "ash" });
  await reader.stop();
});

test("a conversion belongs to the trace of its request", async () => {
  const spans: FinishedSpan[] = [];
  let count = 0;
  const tracer = new Tracer({
    ...{ sample: 0, sink: (span) => spans.push(span), now: () => 0, random: () => 0 },
    randomHex: (bytes) => String(++count).padStart(2 * bytes, "0"),
  });
  await using w = await world({ registry: builtInRegistry(), tracer });
  const [, older] = await served(w.backend, webhook());
  const trace = "a".repeat(32);
  const header = (name: string) =>
    name === "traceparent" ? `00-${trace}-${"b".repeat(16)}-01` : undefined;
  const body = jsonBody(older, Buffer.from(JSON.stringify(oar("a", { length: 3 }))));
  const traced = adminCall({ source: { header } });
  await create(w.backend, traced, older, { body, namespace: "default" });
  const [conversion] = spans.filter(({ name }) => name === `conversion webhook Oar ${group}/v1`);
  const [request] = spans.filter(({ name }) => name === "apiserver create oars");
  assert.equal(conversion?.parentId, request?.spanId);
  assert.equal(conversion?.attributes["trireme.converted_objects"], 1);
  const told = parseTraceparent(traceparent);
  assert.equal(told?.traceId, trace);
  assert.ok(spans.some(({ name, spanId }) => /^conversion/.test(name) && spanId === told.spanId));
  await send(w.backend, older, oar("b", { length: 3 }));
  assert.equal(traceparent, undefined, "a request that is not traced carries nothing");
});

test("wrong answers of a webhook fail the request, in upstream's words", async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  const [newer, older] = await served(backend, webhook());
  const body = jsonBody(
    newer,
    Buffer.from(JSON.stringify({ ...oar("a", { metres: 3 }), apiVersion: `${group}/v1` })),
  );
  await create(backend, adminCall(), newer, { body, namespace: "default" });
  const about = `conversion webhook for ${group}/v1, Kind=Oar`;
  const first = (response: Loose) => (response["convertedObjects"] as Loose[])[0] as Loose;
  const cases: [(response: Loose) => Loose, string | RegExp][] = [
    [
      (answer) => ({ ...answer, uid: "x" }),
      /^invalid response from conversion webhook for .*: expected response\.uid="[^"]+", got "x"$/,
    ],
    [
      (answer) => ({ ...answer, result: { status: "Failed", message: "no" } }),
      `${about} failed: no`,
    ],
    [(answer) => ({ ...answer, result: {} }), `${about} failed: unknown`],
    [(answer) => ({ ...answer, convertedObjects: [] }), `${about} returned 0 objects, expected 1`],
    [
      (answer) => ({ ...answer, convertedObjects: [{ ...first(answer), apiVersion: "x/v1" }] }),
      `${about} returned invalid converted object at index 0: invalid groupVersion (expected ${group}/v1beta1, received x/v1)`,
    ],
    [
      (answer) => ({ ...answer, convertedObjects: [{ ...first(answer), kind: "Pod" }] }),
      `${about} returned invalid converted object at index 0: invalid kind (expected Oar, received Pod)`,
    ],
    [
      (answer) => ({
        ...answer,
        convertedObjects: [{ ...first(answer), metadata: { ...at("b") } }],
      }),
      `${about} returned invalid metadata at index 0: must have the same name: a != b`,
    ],
  ];
  for (const [wrong, message] of cases) {
    spoil = wrong;
    await fails(get(backend, adminCall(), older, at("a")), "internal", message);
  }
  spoil = (answer) => {
    const object = first(answer);
    const metadata = { ...(object["metadata"] as Loose), labels: { a: "b" }, generation: 99 };
    return { ...answer, convertedObjects: [{ ...object, metadata }] };
  };
  const kept = await get(backend, adminCall(), older, at("a"));
  assert.deepEqual(kept.document.metadata?.labels, { a: "b" });
  assert.equal(
    kept.document.metadata?.generation,
    1,
    "the server's metadata are not the webhook's",
  );
  spoil = (answer) => answer;
});

test("a webhook that cannot be reached or trusted is named", async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  const [, older] = await served(backend, webhook({ caBundle: undefined }));
  await fails(
    send(backend, older, oar("a", { length: 3 })),
    "internal",
    /^conversion webhook for fleet\.example\.com\/v1beta1, Kind=Oar failed: Post "https:\/\/127\.0\.0\.1:\d+\/convert\?timeout=30s": .*certificate/,
  );
});

test("a service without pods is no webhook", async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  const service = { namespace: "default", name: "none", path: "/convert" };
  const [, older] = await served(backend, webhook({ url: undefined, service }));
  await fails(
    send(backend, older, oar("a", { length: 3 })),
    "internal",
    /no endpoints available for service "none"/,
  );
});

test("calls wait for their turn, a bounded number of them", async () => {
  const turns = new Semaphore("calls of webhooks", 1, 1);
  let finish = () => {};
  const first = turns.run(() => new Promise<void>((resolve) => (finish = resolve)));
  const second = turns.run(async () => "second");
  await fails(
    turns.run(async () => {}),
    "unavailable",
    "too many calls of webhooks wait",
  );
  finish();
  await first;
  assert.equal(await second, "second");
});
