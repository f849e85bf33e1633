/** Who gets a seat, who waits, and who is refused. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { RequestInfo } from "../../services/apiserver/request-info.ts";
import { FlowControl } from "../../services/apiserver/verbs/flow-control.ts";
import { priorityLevelOf } from "../../services/apiserver/verbs/priority-levels.ts";
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

test("requests find their priority level", () => {
  const rows: [RequestInfo, string | undefined][] = [
    [scheduler, "leader-election"],
    [request("anyone", [], { ...lease, namespace: "kube-system" }), "leader-election"],
    [request("anyone", [], { ...lease, namespace: "default" }), "global-default"],
    [node, "node-high"],
    [request("system:node:n1", ["system:nodes"], { ...lease }), "node-high"],
    [request("system:node:n1", ["system:nodes"], { resource: "pods" }), "system"],
    [request("system:kube-scheduler", [], { resource: "pods" }), "workload-high"],
    [request("system:serviceaccount:team:bot", ["system:serviceaccounts"]), "workload-low"],
    [request(admin.name, admin.groups), "global-default"],
    [{ ...person("x"), user: { name: "x", groups: [] } }, "catch-all"],
    [request("system:kube-apiserver", ["system:masters"]), undefined],
  ];
  for (const [info, level] of rows) {
    assert.equal(priorityLevelOf(info)?.name, level, `${info.user.name} ${info.resource}`);
  }
});

const options = { seats: 49, queueLength: 100, queueMillis: 60_000, clock: productionClock };

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
