/** What processes tell of themselves, read as strictly as a scraper may. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Family,
  HistogramCell,
  MetricsRegistry,
  processMetrics,
} from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { serveMetrics } from "../../ha/runtime/production/metrics-server.ts";
import { createWorkQueue, runReconciler } from "../../services/client/mod.ts";
import { quietLog } from "../apiserver/harness.ts";
import { eventually } from "../patience.ts";
import { restWorld } from "../rest/harness.ts";
import { readExposition, sumOf } from "./exposition.ts";

test("counters, gauges and histograms are written as the format has them", () => {
  const registry = new MetricsRegistry();
  const counter = registry.counter("a_total", "with a \\ and\na line", ["path"]);
  counter.labels('say "hi"\\\n').inc(2);
  registry.gauge("b", "one value").labels().set(-1.5);
  const seconds = registry.histogram("c_seconds", "times", [0.1, 1], ["verb"]);
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.labels("GET").observe(value);
  registry.collect("gauge", "d", "asked for", () => [{ labels: { x: "y" }, value: 3 }]);
  registry.collect("gauge", "d", "asked for", () => [{ labels: { x: "z" }, value: 4 }]);
  const read = readExposition(registry.text());
  assert.equal(read.get("a_total")?.help, "with a \\\\ and\\na line");
  assert.deepEqual([...(read.get("a_total")?.samples ?? [])], [['path="say \\"hi\\"\\\\\\n"', 2]]);
  assert.deepEqual([...(read.get("b")?.samples ?? [])], [["", -1.5]]);
  assert.deepEqual([...(read.get("c_seconds")?.samples.values() ?? [])], [2, 3, 4, 7.65, 4]);
  assert.deepEqual([...(read.get("d")?.samples ?? [])], [['x="z"', 4]]);
  assert.throws(() => registry.counter("b", "again"), /there already/);
  assert.throws(() => counter.labels("a", "b"), /has 1 labels, not 2/);
});

test("the series of one name are bounded, whatever callers put into labels", () => {
  const family = new Family(
    { name: "x", help: "x", type: "histogram" },
    ["who"],
    () => new HistogramCell([1]),
  );
  for (let i = 0; i < 6_000; i++) family.labels(`user-${i}`).observe(1);
  const series = [...family.series];
  assert.equal(series.length, 5_001);
  assert.equal(
    series.reduce((sum, { cell }) => sum + cell.count, 0),
    6_000,
  );
  assert.equal(family.labels("user-5999"), family.labels("other"));
});

test("an apiserver tells what it does, to whom the roles allow it", async () => {
  await using world = await restWorld();
  const path = "/api/v1/namespaces/default/secrets";
  const body = { metadata: { name: "m" } };
  await world.ask(path, { method: "POST", body });
  await world.ask(path, { method: "POST", body });
  await world.ask(`${path}/m`);
  await world.ask(`${path}?watch=1&timeoutSeconds=1`);
  const stranger = await world.user("stranger");
  assert.equal((await world.ask("/metrics", { as: stranger })).status, 403);
  const monitor = await world.user("scraper", "system:monitoring");
  const answer = await world.ask("/metrics", { as: monitor });
  assert.equal(answer.status, 200);
  assert.match(String(answer.headers["content-type"]), /^text\/plain; version=0\.0\.4/);
  const read = readExposition(answer.text);
  const of = (name: string, ...labels: string[]) => sumOf(read, name, ...labels);
  const secrets = ['resource="secrets"', 'component="apiserver"'];
  const total = "apiserver_request_total";
  assert.equal(of(total, 'verb="POST"', 'code="201"', 'scope="resource"', ...secrets), 1);
  assert.equal(of(total, 'verb="POST"', 'code="409"', ...secrets), 1);
  assert.equal(of(total, 'verb="GET"', 'code="200"', 'version="v1"', ...secrets), 1);
  assert.equal(of(total, 'verb="WATCH"', 'scope="namespace"', ...secrets), 1);
  assert.equal(of("apiserver_request_duration_seconds", "_count", 'verb="POST"', ...secrets), 2);
  assert.equal(of("apiserver_current_inflight_requests"), 0);
  assert.ok(of("apiserver_storage_objects", 'resource="secrets"') >= 1);
  assert.ok(
    of("apiserver_storage_objects", 'resource="clusterroles.rbac.authorization.k8s.io"') > 9,
  );
  assert.equal(of("etcd_server_has_leader"), 1);
  assert.ok(of("process_cpu_seconds_total") > 0);
  assert.ok(of("process_resident_memory_bytes") > 1e6);
  assert.ok(read.has("nodejs_eventloop_lag_seconds"));
});

test("a process serves its metrics and its health, with its checks by name", async () => {
  const registry = new MetricsRegistry();
  let failure: string | undefined = "not yet";
  const server = await serveMetrics({
    address: "127.0.0.1:0",
    registry,
    ready: { caches: () => failure },
  });
  assert.ok(server);
  const ask = async (path: string, method = "GET") => {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return [answer.status, await answer.text()] as const;
  };
  const [status, text] = await ask("/metrics");
  assert.equal(status, 200);
  assert.ok(readExposition(text).has("process_start_time_seconds"));
  assert.deepEqual(await ask("/livez"), [200, "ok"]);
  assert.deepEqual(await ask("/readyz"), [
    500,
    "[+]ping ok\n[-]caches failed: not yet\nreadyz check failed\n",
  ]);
  assert.deepEqual(await ask("/readyz/caches"), [500, "internal server error: not yet\n"]);
  assert.deepEqual(await ask("/readyz?exclude=caches"), [200, "ok"]);
  failure = undefined;
  assert.deepEqual(await ask("/readyz?verbose"), [
    200,
    "[+]ping ok\n[+]caches ok\nreadyz check passed\n",
  ]);
  assert.equal((await ask("/healthz/none"))[0], 404);
  assert.equal((await ask("/toString"))[0], 404);
  assert.equal((await ask("/metrics", "POST"))[0], 405);
  await server.close();
  await assert.rejects(serveMetrics({ address: "nowhere", registry }), {
    message: /^--metrics-bind-address nowhere: must be host:port/,
  });
});

test("a named work queue tells of its keys", async () => {
  const queue = createWorkQueue({ clock: productionClock, name: "probe" });
  const stop = new AbortController();
  let tries = 0;
  const running = runReconciler(
    {
      queue,
      workers: 1,
      log: quietLog,
      reconcile: async () => {
        if (tries++ === 0) throw new Error("once more");
      },
    },
    stop.signal,
  );
  queue.add("a");
  await eventually("the second try", () => tries === 2);
  const read = readExposition(processMetrics.text());
  assert.equal(sumOf(read, "workqueue_adds_total", 'name="probe"'), 2);
  assert.equal(sumOf(read, "workqueue_retries_total", 'name="probe"'), 1);
  assert.equal(sumOf(read, "workqueue_queue_duration_seconds", "_count", 'name="probe"'), 2);
  assert.ok(sumOf(read, "workqueue_work_duration_seconds", "_count", 'name="probe"') >= 1);
  stop.abort();
  await running;
  assert.equal(sumOf(readExposition(processMetrics.text()), "workqueue_depth", "probe"), 0);
});
