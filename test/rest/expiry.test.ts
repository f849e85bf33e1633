/** Revisions that have been compacted, and which lists are of which revision. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { protocols, type RestWorld, restWorld } from "./harness.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";

let world: RestWorld;
let fillers = 0;

before(async () => {
  world = await restWorld();
});
after(() => world[Symbol.asyncDispose]());

async function make(name: string) {
  const body = { metadata: { name, labels: { expiry: "yes" } } };
  const { status, json } = await world.ask(configMaps, { method: "POST", body });
  assert.equal(status, 201);
  return json;
}

/** Makes every revision up to now one that cannot be read any more. */
async function compact(): Promise<void> {
  fillers += 2;
  for (const number of [fillers - 1, fillers]) await make(`filler-${number}`);
  await world.store.compact(await world.store.readRevision());
}

const namesOf = (list: { items: { metadata: { name: string } }[] }) =>
  list.items.map(({ metadata }) => metadata.name);

test("a watch from a compacted revision is answered, with an event that says Expired", async () => {
  const first = await make("w");
  await compact();
  // A master that starts now knows no more of the past than the store does.
  await using late = await restWorld({ store: world.store });
  const version = first.metadata.resourceVersion;
  const paths = [
    `${configMaps}?watch=true&resourceVersion=${version}`,
    `/api/v1/watch/namespaces/default/configmaps?resourceVersion=${version}`,
    `${configMaps}?watch=true&resourceVersion=${version}&fieldSelector=metadata.name%3Dw`,
  ];
  const accepts = [
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  ];
  for (const protocol of protocols) {
    for (const path of paths) {
      for (const accept of accepts) {
        const answer = await late.ask(path, { headers: { accept } }, protocol);
        assert.deepEqual([path, accept, answer.status], [path, accept, 200]);
        const lines = answer.text.trim().split("\n");
        assert.equal(lines.length, 1, answer.text);
        const { type, object } = JSON.parse(lines[0] ?? "");
        assert.equal(type, "ERROR");
        assert.match(object.message, /^too old resource version: \d+ \(\d+\)$/);
        const { kind, apiVersion, metadata, status, reason, code } = object;
        assert.deepEqual(
          { kind, apiVersion, metadata, status, reason, code },
          {
            ...{ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure" },
            ...{ reason: "Expired", code: 410 },
          },
        );
      }
    }
  }
});

test("a list whose revision is gone may go on inconsistently", async () => {
  for (const name of ["l-a", "l-b", "l-d"]) await make(name);
  const chosen = `${configMaps}?labelSelector=expiry`;
  const first = await world.ask(`${chosen}&limit=1`);
  const token = first.json.metadata.continue;
  await make("l-c");
  await compact();
  const gone = await world.ask(`${chosen}&limit=1&continue=${token}`);
  assert.equal(gone.status, 410);
  assert.equal(gone.json.reason, "Expired");
  assert.match(
    gone.json.message,
    /^The provided continue parameter is too old to display a consis/,
  );
  assert.match(gone.json.message, /or use the continue token in this response/);
  const goOn = gone.json.metadata.continue;
  assert.notEqual(goOn, token);
  assert.equal(JSON.parse(Buffer.from(goOn, "base64url").toString()).rv, -1);
  const rest = await world.ask(`${chosen}&continue=${goOn}`);
  assert.equal(rest.status, 200);
  assert.ok(namesOf(rest.json).includes("l-c"), "what was made since is shown");
  assert.ok(
    Number(rest.json.metadata.resourceVersion) > Number(first.json.metadata.resourceVersion),
  );
  const next = await world.ask(`${chosen}&limit=1&continue=${goOn}`);
  const again = JSON.parse(Buffer.from(next.json.metadata.continue, "base64url").toString());
  assert.equal(
    again.rv,
    Number(next.json.metadata.resourceVersion),
    "and is consistent from there",
  );
});

test("continue tokens that no list has given", async () => {
  const token = (document: unknown) =>
    Buffer.from(typeof document === "string" ? document : JSON.stringify(document)).toString(
      "base64url",
    );
  const v = "meta.k8s.io/v1";
  const bad: [string, RegExp][] = [
    [token({ v, rv: 0, start: "a\0" }), /incorrect encoded start resourceVersion/],
    [token({ v, rv: 5, start: "" }), /encoded start key empty/],
    [token({ v, rv: 5 }), /encoded start key empty/],
    [
      token({ v: "meta.k8s.io/v2", rv: 5, start: "a\0" }),
      /does not recognize this encoded version/,
    ],
    [token({ v, rv: 5, start: "../secrets/a\0" }), /continue key is not valid/],
    [token({ v, rv: 5, start: "/../a\0" }), /continue key is not valid/],
    [token({ v, rv: "5", start: "a\0" }), /continue key is not valid/],
    [token({ v, rv: 1e300, start: "a\0" }), /continue key is not valid/],
    [token("null"), /continue key is not valid/],
    [token("[]"), /continue key is not valid/],
    ["%00", /continue key is not valid/],
    ["a".repeat(3_000), /continue key is not valid/],
  ];
  for (const [text, message] of bad) {
    const { status, json } = await world.ask(`${configMaps}?limit=1&continue=${text}`);
    assert.deepEqual([text, status, json?.reason], [text, 400, "BadRequest"]);
    assert.match(json.message, message);
  }
});

test("resourceVersionMatch, in every combination", async () => {
  const one = await make("m-1");
  const version = one.metadata.resourceVersion;
  const mine = `${configMaps}?labelSelector=expiry`;
  await make("m-2");
  const sees = async (query: string) => {
    const { status, json } = await world.ask(`${mine}&${query}`);
    return status === 200 ? namesOf(json).includes("m-2") : [status, json.reason];
  };
  const rv = `resourceVersion=${version}`;
  const table: [string, unknown][] = [
    ["", true],
    ["resourceVersion=0", true],
    [rv, true],
    [`${rv}&limit=500`, false],
    [`${rv}&resourceVersionMatch=NotOlderThan`, true],
    [`${rv}&resourceVersionMatch=NotOlderThan&limit=500`, true],
    [`${rv}&resourceVersionMatch=Exact`, false],
    [`${rv}&resourceVersionMatch=Exact&limit=500`, false],
    ["resourceVersion=0&limit=500", true],
    ["resourceVersion=0&resourceVersionMatch=NotOlderThan", true],
    ["resourceVersion=0&resourceVersionMatch=Exact", [422, "Invalid"]],
    ["resourceVersionMatch=Exact", [422, "Invalid"]],
    [`${rv}&resourceVersionMatch=exact`, [422, "Invalid"]],
    ["resourceVersion=abc", [400, "BadRequest"]],
    ["resourceVersion=-1", [400, "BadRequest"]],
    ["sendInitialEvents=true", [422, "Invalid"]],
  ];
  const found: [string, unknown][] = [];
  for (const [query] of table) found.push([query, await sees(query)]);
  assert.deepEqual(found, table);
  const exact = await world.ask(`${mine}&${rv}&resourceVersionMatch=Exact`);
  assert.equal(exact.json.metadata.resourceVersion, version);
  await compact();
  const gone = await world.ask(`${mine}&${rv}&resourceVersionMatch=Exact`);
  assert.equal(gone.status, 410);
  assert.equal(gone.json.message, "The resourceVersion for the provided list is too old.");
  assert.equal(gone.json.metadata.continue, undefined);
  const future = await world.ask(`${mine}&resourceVersion=99999999`);
  assert.equal(future.status, 504);
  assert.match(
    future.json.message,
    /^Timeout: Too large resource version: 99999999, current: \d+$/,
  );
  const causes = future.json.details.causes;
  assert.deepEqual(causes, [
    { reason: "ResourceVersionTooLarge", message: "Too large resource version" },
  ]);
});
