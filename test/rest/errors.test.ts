import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { parseTarget } from "../../services/apiserver/faces/rest/target.ts";
import { type Ask, protocols, restWorld } from "./harness.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const deployments = "/apis/apps/v1/namespaces/default/deployments";

test("every refusal has upstream's code, reason and words", async () => {
  await using world = await restWorld();
  await world.ask(configMaps, { method: "POST", body: { metadata: { name: "a" } } });
  const merge = { "content-type": "application/merge-patch+json" };
  const cases: [path: string, ask: Ask, status: number, reason: string, message: RegExp][] = [
    [`${configMaps}/b`, {}, 404, "NotFound", /^configmaps "b" not found$/],
    [
      configMaps,
      { method: "POST", body: "{" },
      400,
      "BadRequest",
      /invalid JSON at line 1 column 2/,
    ],
    [
      configMaps,
      { method: "POST", body: "" },
      400,
      "BadRequest",
      /json parse error: unexpected end of JSON input \(<empty>\)$/,
    ],
    [
      configMaps,
      { method: "POST", body: { metadata: { name: "B_" } } },
      422,
      "Invalid",
      /^ConfigMap "B_" is invalid: metadata.name: Invalid value: "B_": /,
    ],
    [
      configMaps,
      { method: "POST", body: { kind: "Secret", apiVersion: "v1" } },
      400,
      "BadRequest",
      /Kind=Secret/,
    ],
    [
      configMaps,
      { method: "POST", body: { metadata: { name: "c", namespace: "other" } } },
      400,
      "BadRequest",
      /^the namespace of the provided object does not match the namespace sent on the request$/,
    ],
    [
      `${configMaps}/a`,
      { method: "PUT", body: { metadata: { name: "b" } } },
      400,
      "BadRequest",
      /^the name of the object \(b\) does not match the name on the URL \(a\)$/,
    ],
    [
      `${configMaps}/a`,
      { method: "PUT", body: { metadata: { name: "a", resourceVersion: "1" } } },
      409,
      "Conflict",
      /^Operation cannot be fulfilled on configmaps "a": the object has been modified/,
    ],
    [
      `${configMaps}/a`,
      { method: "PATCH", headers: { "content-type": "text/plain" }, body: "{}" },
      415,
      "UnsupportedMediaType",
      /application\/apply-patch\+yaml/,
    ],
    [
      `${configMaps}/a`,
      { method: "PATCH", headers: merge, body: "[]" },
      400,
      "BadRequest",
      /merge patch must be a JSON object/,
    ],
    [
      configMaps,
      { method: "POST", headers: { "content-type": "application/cbor" }, body: "x" },
      415,
      "UnsupportedMediaType",
      /media types include: application\/json, application\/yaml, application\/vnd.kubernetes.protobuf$/,
    ],
    [
      configMaps,
      { method: "PUT", body: {} },
      405,
      "MethodNotAllowed",
      /does not allow this method/,
    ],
    [
      "/api/v1/configmaps",
      { method: "POST", body: {} },
      405,
      "MethodNotAllowed",
      /does not allow this method/,
    ],
    [configMaps, { method: "LOCK" }, 405, "MethodNotAllowed", /does not allow this method/],
    [
      `${configMaps}?limit=x`,
      {},
      400,
      "BadRequest",
      /strconv.ParseInt: parsing "x": invalid syntax/,
    ],
    [`${configMaps}?labelSelector=a%3D%3D%3Db`, {}, 400, "BadRequest", /./],
    [
      `${configMaps}?fieldSelector=spec.x%3D1`,
      {},
      400,
      "BadRequest",
      /"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"/,
    ],
    [`${configMaps}?continue=zzz`, {}, 400, "BadRequest", /continue key is not valid/],
    [`${configMaps}?resourceVersionMatch=Exact`, {}, 422, "Invalid", /resourceVersionMatch/],
    [`${configMaps}/a?dryRun=Some`, { method: "DELETE" }, 422, "Invalid", /dryRun/],
    [
      `${configMaps}/a`,
      { method: "DELETE", body: { kind: "DeleteOptions", propagationPolicy: "Odd" } },
      422,
      "Invalid",
      /propagationPolicy/,
    ],
    [
      `${configMaps}/a`,
      { method: "DELETE", body: { preconditions: { uid: "x" } } },
      409,
      "Conflict",
      /the UID in the precondition \(x\) does not match the UID in record/,
    ],
  ];
  for (const [path, ask, status, reason, message] of cases) {
    const answer = await world.ask(path, ask);
    const said = [path, ask.method, answer.status, answer.json?.reason];
    assert.deepEqual(said, [path, ask.method, status, reason], answer.text);
    assert.match(answer.json.message, message);
    assert.equal(answer.json.kind, "Status");
    assert.equal(answer.json.code, status);
  }
});

test("a document of the wrong shape cannot be decoded", async () => {
  await using world = await restWorld();
  const body = { metadata: { name: "web" }, spec: { replicas: "many", selector: [] } };
  const { status, json } = await world.ask(deployments, { method: "POST", body });
  assert.deepEqual([status, json.reason], [400, "BadRequest"]);
  assert.equal(
    json.message,
    'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string ' +
      "into Go struct field DeploymentSpec.spec.replicas of type int32",
  );
});

test("a client's own time limit holds, if it is one", async () => {
  await using world = await restWorld();
  const odd = await world.ask(`${configMaps}?timeout=soon`);
  assert.deepEqual([odd.status, odd.json.reason], [400, "BadRequest"]);
  assert.match(odd.json.message, /^invalid timeout specified in the request URL/);
  for (const timeout of ["32s", "1m30s", "0", "2h"]) {
    assert.equal((await world.ask(`${configMaps}?timeout=${timeout}`)).status, 200, timeout);
  }
});

test("all that is wrong with a document is told at once, by field", async () => {
  await using world = await restWorld();
  const { status, json } = await world.ask(deployments, {
    method: "POST",
    body: { metadata: { name: "web" }, spec: { replicas: -1, selector: {}, template: {} } },
  });
  assert.equal(status, 422);
  assert.equal(json.details.kind, "Deployment");
  assert.equal(json.details.group, "apps");
  const fields = json.details.causes.map(({ field }: { field: string }) => field);
  assert.ok(
    fields.includes("spec.replicas") && fields.includes("spec.template.spec.containers"),
    fields,
  );
});

test("unknown and duplicate fields: warned of by default, refused or dropped on request", async () => {
  await using world = await restWorld();
  const body = (name: string) => `{"metadata":{"name":"${name}"},"odd":1,"data":{"k":"1","k":"2"}}`;
  const warned = await world.ask(configMaps, { method: "POST", body: body("a") });
  assert.equal(warned.status, 201);
  assert.equal(
    warned.headers["warning"],
    '299 - "duplicate field \\"data.k\\"", 299 - "unknown field \\"odd\\""',
  );
  const strict = await world.ask(`${configMaps}?fieldValidation=Strict`, {
    method: "POST",
    body: body("b"),
  });
  assert.equal(strict.status, 400);
  assert.match(strict.json.message, /strict decoding error: .*unknown field "odd"/);
  const ignored = await world.ask(`${configMaps}?fieldValidation=Ignore`, {
    method: "POST",
    body: body("c"),
  });
  assert.deepEqual([ignored.status, ignored.headers["warning"]], [201, undefined]);
  const odd = await world.ask(`${configMaps}?fieldValidation=Odd`, {
    method: "POST",
    body: body("d"),
  });
  assert.equal(odd.status, 422);
});

test("who may not is told so, without a certificate too; a foreign certificate is refused", async () => {
  await using world = await restWorld();
  const jane = await world.user("jane", "people");
  const refused = await world.ask("/api/v1/namespaces/default/pods", { as: jane });
  assert.equal(refused.status, 403);
  assert.equal(
    refused.json.message,
    'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"',
  );
  assert.deepEqual(refused.json.details, { kind: "pods" });
  const anonymous = await world.ask("/api/v1/nodes", { as: null });
  assert.equal(anonymous.status, 403);
  assert.match(anonymous.json.message, /User "system:anonymous" cannot list resource "nodes"/);
  const path = await world.ask("/metrics", { as: jane });
  assert.equal(path.json.message, 'forbidden: User "jane" cannot get path "/metrics"');
  await using other = await restWorld();
  const foreign = await world.ask("/version", { as: other.admin });
  assert.equal(foreign.status, 401);
  assert.equal(foreign.json.reason, "Unauthorized");
});

test("paths that lead nowhere", async () => {
  await using world = await restWorld();
  for (const protocol of protocols) {
    for (const path of ["/nothing", "/api/v2/pods", "/apis/none/v1/things"]) {
      const { status, text, headers } = await world.ask(path, {}, protocol);
      assert.deepEqual([path, status, text], [path, 404, "404 page not found\n"]);
      assert.equal(headers["content-type"], "text/plain; charset=utf-8");
    }
    for (const path of [
      "/apis/apps/v1/namespaces/default/nothings",
      "/apis/apps/v9/deployments",
      "/api/v1/namespaces/default/nodes",
      "/api/v1/pods/one",
      `${configMaps}/a/odd`,
    ]) {
      const { status, json } = await world.ask(path, {}, protocol);
      const words = "the server could not find the requested resource";
      assert.deepEqual([path, status, json.reason, json.message], [path, 404, "NotFound", words]);
    }
  }
});

test("whatever is asked for, the router answers with a target or a refusal", () => {
  const word = fc.oneof(
    fc.constantFrom(
      "api",
      "apis",
      "v1",
      "namespaces",
      "watch",
      "status",
      "%2e%2e",
      "..",
      "",
      "%",
      "é",
    ),
    fc.string({ maxLength: 8 }),
  );
  const path = fc.array(word, { maxLength: 9 }).map((words) => `/${words.join("/")}`);
  const query = fc.option(
    fc.string({ maxLength: 20 }).map((text) => `?${text}`),
    { nil: "" },
  );
  const method = fc.constantFrom("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X");
  fc.assert(
    fc.property(method, path, query, (verb, where, what) => {
      try {
        const target = parseTarget(verb, `${where}${what}`);
        if (target.kind === "path") return;
        for (const part of [target.namespace, target.name, target.subresource, target.plural]) {
          assert.ok(!part.includes("/"));
        }
        assert.notEqual(target.plural, "");
      } catch (thrown) {
        assert.ok(thrown instanceof StatusError, String(thrown));
      }
    }),
    { numRuns: 5_000 },
  );
});

test("namespaces are special: a resource themselves, and where others live", () => {
  const part = (method: string, path: string) => {
    const target = parseTarget(method, path);
    assert.equal(target.kind, "resource");
    if (target.kind !== "resource") return [];
    const { verb, group, plural, namespace, name, subresource, rest } = target;
    return [verb, group, plural, namespace, name, subresource, rest];
  };
  assert.deepEqual(part("GET", "/api/v1/namespaces"), ["list", "", "namespaces", "", "", "", ""]);
  assert.deepEqual(part("GET", "/api/v1/namespaces/a"), [
    "get",
    "",
    "namespaces",
    "a",
    "a",
    "",
    "",
  ]);
  assert.deepEqual(part("PUT", "/api/v1/namespaces/a/finalize"), [
    ...["update", "", "namespaces", "a", "a", "finalize", ""],
  ]);
  assert.deepEqual(part("DELETE", "/apis/apps/v1/namespaces/a/deployments"), [
    ...["deletecollection", "apps", "deployments", "a", "", "", ""],
  ]);
  assert.deepEqual(part("GET", "/api/v1/namespaces/a/pods/b/proxy/x/y/"), [
    ...["get", "", "pods", "a", "b", "proxy", "x/y/"],
  ]);
  assert.deepEqual(part("GET", "/api/v1/watch/pods"), ["watch", "", "pods", "", "", "", ""]);
  assert.deepEqual(part("GET", "/api/v1/pods?watch=false"), ["list", "", "pods", "", "", "", ""]);
});
