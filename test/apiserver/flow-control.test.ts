/** Who gets a seat, who waits, and who is refused. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { RequestInfo } from "../../services/apiserver/request-info.ts";
import { FlowControl } from "../../services/apiserver/verbs/flow-control.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { restWorld } from "../rest/harness.ts";
import { admin, configMap, fails, make, world } from "./harness.ts";

function request(name: string, groups: readonly string[], part: Partial<RequestInfo> = {}) {
  return {
    user: { name, groups: [...groups, "system:authenticated"] },
    verb: "update",
    group: "",
    resource: "configmaps",
    subresource: "",
    namespace: "default",
    name: "x",
    fieldSelector: "",
    path: "",
    ...part,
  } satisfies RequestInfo;
}

const lease = { group: "coordination.k8s.io", resource: "leases" };
const person = (name: string) => request(name, []);
const scheduler = request("system:kube-scheduler", [], { ...lease, namespace: "kube-system" });
const node = request("system:node:n1", ["system:nodes"], {
  resource: "nodes",
  subresource: "status",
});

const options = { seats: 49, queueLength: 100, queueMillis: 60_000, clock: productionClock };

test("requests find their priority level", () => {
  const rows: [RequestInfo, string][] = [
    [scheduler, "leader-election"],
    [request("anyone", [], { ...lease, namespace: "kube-system" }), "global-default"],
    [
      request("system:serviceaccount:kube-system:bot", ["system:serviceaccounts"], { ...lease }),
      "leader-election",
    ],
    [request("anyone", [], { ...lease, namespace: "default" }), "global-default"],
    [node, "node-high"],
    [request("system:node:n1", ["system:nodes"], { ...lease }), "node-high"],
    [request("system:node:n1", ["system:nodes"], { resource: "pods" }), "system"],
    [request("system:kube-scheduler", [], { resource: "pods" }), "workload-high"],
    [request("system:serviceaccount:team:bot", ["system:serviceaccounts"]), "workload-low"],
    [request(admin.name, admin.groups), "global-default"],
    [request("system:kube-apiserver", ["system:masters"]), "exempt"],
    [{ ...person("x"), user: { name: "x", groups: [] } }, "catch-all"],
  ];
  const control = new FlowControl(options);
  for (const [info, level] of rows) {
    assert.equal(control.matched(info).level.name, level, `${info.user.name} ${info.resource}`);
  }
});

/** Callers that still wait when a test ends leave. */
const over = new AbortController();
after(() => over.abort());

/** Enters and says whether a seat was free. */
function enter(control: FlowControl, info: RequestInfo) {
  const entered = control.enter(info, over);
  const free = !(entered instanceof Promise);
  if (!free) entered.catch(() => {});
  return { free, leave: entered };
}

test("a flood takes every seat that is lent, and leaves the others theirs", async () => {
  const control = new FlowControl(options);
  const flood = Array.from({ length: 100 }, () => enter(control, person("flood")));
  const seated = flood.filter(({ free }) => free).length;
  assert.ok(seated > 4 && seated < 40, `${seated} of 49 seats`);
  // Leader election has 2 of 49 seats, node-high 8; a flood can touch neither.
  for (let count = 0; count < 2; count++) assert.ok(enter(control, scheduler).free);
  for (let count = 0; count < 6; count++) assert.ok(enter(control, node).free, `node ${count}`);
});

test("who waits is served in turn, flow by flow", async () => {
  const control = new FlowControl(options);
  const seats = Array.from({ length: 100 }, () => enter(control, person("flood")));
  const order: string[] = [];
  const wait = (name: string) => {
    const entered = enter(control, person(name));
    assert.equal(entered.free, false);
    return Promise.resolve(entered.leave).then((leave) => {
      order.push(name);
      leave();
    });
  };
  const calm = [wait("calm"), wait("other")];
  for (const { free, leave } of seats) if (free) (leave as () => void)();
  await Promise.all(calm);
  assert.deepEqual(order, ["calm", "other"]);
  // The flood's own waiters follow, one by one, as each gives back its seat.
  for (const { free, leave } of seats) if (!free) (await leave)();
  assert.ok(enter(control, person("last")).free);
});

test("a full queue and a long wait are refused with the level and when to come back", async () => {
  const control = new FlowControl({ ...options, queueLength: 1, queueMillis: 20 });
  const first = Array.from({ length: 49 }, () => {
    try {
      return enter(control, person("flood"));
    } catch {
      return undefined;
    }
  });
  assert.throws(
    () => control.enter(person("flood"), { signal: undefined }),
    /Too many requests, please try again later: priority level "global-default" has 4 of the apiserver's seats, and 1 requests of this user are waiting already/,
  );
  const error = await fails(
    Promise.resolve(control.enter(person("patient"), { signal: undefined })),
    "resourceExhausted",
    /no request ended for 20 ms/,
  );
  assert.equal(error.detail?.reason, "TooManyRequests");
  assert.equal(error.detail?.retryAfterSeconds, 1);
  for (const each of first) if (each?.free) (each.leave as () => void)();
  assert.ok(enter(control, person("later")).free);
});

test("long lists take many seats, wait for each other, and leave some to quick requests", async () => {
  const control = new FlowControl({ ...options, seats: 490 });
  const { level } = control.matched(person("lists"));
  // Of 490 seats the level has 40: at most 6 for one request, and 8 for quick ones alone.
  assert.deepEqual([level.nominal, level.widest, level.narrow], [40, 6, 8]);
  const list = () => {
    const entered = control.enter(person("lists"), over, () => 10);
    const leave = Promise.resolve(entered);
    leave.catch(() => {});
    return { free: !(entered instanceof Promise), leave };
  };
  const lists = Array.from({ length: 100 }, list);
  const seated = lists.filter(({ free }) => free).length;
  assert.ok(seated >= 5 && seated < 80, `${seated} lists at once`);
  assert.deepEqual([level.requests, level.executing], [seated, seated * 6]);
  for (const name of ["lists", "other"]) {
    for (let count = 0; count < 4; count++) assert.ok(enter(control, person(name)).free, name);
  }
  assert.equal(enter(control, person("other")).free, false, "the ninth waits as lists do");
  const next = lists[seated];
  assert.ok(next !== undefined);
  for (const { free, leave } of lists.slice(0, 2)) if (free) (await leave)();
  (await next.leave)();
});

test("a caller that leaves gives up its place", async () => {
  const control = new FlowControl(options);
  const seats = Array.from({ length: 49 }, () => enter(control, person("flood")));
  const abort = new AbortController();
  const waiting = Promise.resolve(control.enter(person("gone"), abort));
  abort.abort();
  await fails(waiting, "cancelled", "the caller has left");
  for (const { free, leave } of seats) if (free) (leave as () => void)();
  for (const { free, leave } of seats) if (!free) (await leave)();
  assert.ok(enter(control, person("next")).free);
});

test("through the verbs: others queue before anything is refused", async () => {
  await using w = await world({ seats: 49, queueLength: 500 });
  const writes = Array.from({ length: 300 }, (_, index) => make(w.backend, configMap(`m${index}`)));
  assert.equal((await Promise.all(writes)).length, 300);
});

const flowApi = "/apis/flowcontrol.apiserver.k8s.io/v1";

test("the cluster's schemas and levels are objects, and count as soon as they change", async () => {
  await using w = await restWorld();
  const jane = await w.user("jane");
  const levels = await w.ask(`${flowApi}/prioritylevelconfigurations`);
  const shares = (each: { metadata: { name: string }; spec: { limited?: object } }) => [
    each.metadata.name,
    (each.spec.limited as { nominalConcurrencyShares?: number })?.nominalConcurrencyShares ?? 0,
  ];
  assert.deepEqual(levels.json.items.map(shares), [
    ...[
      ["catch-all", 5],
      ["exempt", 0],
      ["global-default", 20],
      ["leader-election", 10],
    ],
    ...[
      ["node-high", 40],
      ["system", 30],
      ["workload-high", 40],
      ["workload-low", 100],
    ],
  ]);
  const uids = new Map<string, string>();
  const schemas = await w.ask(`${flowApi}/flowschemas`);
  for (const { metadata } of levels.json.items) uids.set(`level ${metadata.name}`, metadata.uid);
  for (const { metadata } of schemas.json.items) uids.set(metadata.name, metadata.uid);
  assert.equal(schemas.json.items.length, 13);
  const path = "/api/v1/namespaces/default/configmaps";
  const flowOf = async (as = w.admin, query = "") => {
    const { headers } = await w.ask(`${path}${query}`, { as });
    return [
      headers["x-kubernetes-pf-flowschema-uid"],
      headers["x-kubernetes-pf-prioritylevel-uid"],
    ];
  };
  const usual = "global-default";
  assert.deepEqual(await flowOf(), [uids.get(usual), uids.get(`level ${usual}`)]);
  assert.deepEqual(await flowOf(jane), [uids.get(usual), uids.get(`level ${usual}`)]);
  const watched = await flowOf(w.admin, "?watch=1&timeoutSeconds=1");
  assert.deepEqual(watched, [uids.get(usual), uids.get(`level ${usual}`)]);
  const level = {
    metadata: { name: "slow" },
    spec: {
      type: "Limited",
      limited: { nominalConcurrencyShares: 1, limitResponse: { type: "Reject" } },
    },
  };
  const made = await w.ask(`${flowApi}/prioritylevelconfigurations`, {
    method: "POST",
    body: level,
  });
  assert.equal(made.status, 201, made.text);
  const schema = {
    metadata: { name: "jane" },
    spec: {
      priorityLevelConfiguration: { name: "slow" },
      matchingPrecedence: 50,
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "jane" } }],
          resourceRules: [
            { verbs: ["list"], apiGroups: [""], resources: ["configmaps"], namespaces: ["*"] },
          ],
        },
      ],
    },
  };
  const ruled = await w.ask(`${flowApi}/flowschemas`, { method: "POST", body: schema });
  assert.equal(ruled.status, 201, ruled.text);
  const wanted = [ruled.json.metadata.uid, made.json.metadata.uid];
  for (let tries = 0; ; tries++) {
    assert.ok(tries < 500, "the schema never counts");
    const now = await flowOf(jane);
    if (now[0] === wanted[0] && now[1] === wanted[1]) break;
  }
  await w.ask(`${flowApi}/flowschemas/jane`, { method: "DELETE" });
  for (let tries = 0; ; tries++) {
    assert.ok(tries < 500, "the deleted schema still counts");
    if ((await flowOf(jane))[0] === uids.get("global-default")) break;
  }
  const table = await w.ask(`${flowApi}/flowschemas/exempt`, {
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  assert.deepEqual(table.json.rows[0].cells.slice(0, 4), ["exempt", "exempt", 1, "<none>"]);
});

test("schemas and levels are checked in upstream's words", async () => {
  await using w = await world();
  const rows: [Document, RegExp][] = [
    [
      schemaOf({ matchingPrecedence: 1, priorityLevelConfiguration: {} }),
      /only the schema named 'exempt' may have matchingPrecedence 1.*must reference a priority level/s,
    ],
    [schemaOf({ matchingPrecedence: 10_001 }), /must not be greater than 10000/],
    [
      schemaOf({ rules: [{ subjects: [{ kind: "User", group: { name: "x" } }] }] }),
      /user is required when subject kind is 'User'.*has to be non-empty/s,
    ],
    [levelOf({ type: "Exempt" }), /spec.type: Invalid value: "Exempt"/],
    [levelOf({ type: "Limited" }), /spec.limited: Required value/],
    [
      levelOf({ type: "Limited", limited: { limitResponse: { type: "Queue" } } }),
      /queuing: Required value/,
    ],
    [
      levelOf({
        type: "Limited",
        limited: {
          lendablePercent: 101,
          limitResponse: { type: "Queue", queuing: { queues: 2, handSize: 3 } },
        },
      }),
      /should not be greater than queues \(2\).*must be between 0 and 100, inclusive/s,
    ],
  ];
  for (const [document, told] of rows)
    await fails(make(w.backend, document), "invalidArgument", told);
});

const version = "flowcontrol.apiserver.k8s.io/v1";

function schemaOf(spec: object): Document {
  const level = { priorityLevelConfiguration: { name: "system" } };
  const head = { apiVersion: version, kind: "FlowSchema", metadata: { name: "x" } };
  return { ...head, spec: { ...level, ...spec } };
}

function levelOf(spec: object): Document {
  const kind = "PriorityLevelConfiguration";
  return { apiVersion: version, kind, metadata: { name: "x" }, spec };
}
