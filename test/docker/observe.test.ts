/** The dashboard, the alert rules and what Prometheus asks, as far as no cluster is needed. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { commandOf, readCompose, root } from "./compose.ts";
import { allQueries, readAlerts, readDashboard, selectorsOf } from "./queries.ts";

test("every alert says how bad it is, what is wrong, and in a sentence what to do first", () => {
  const alerts = readAlerts();
  assert.ok(alerts.length >= 15);
  assert.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length);
  for (const { alert, expr, labels, annotations, for: held } of alerts) {
    assert.match(alert, /^Trireme[A-Z][A-Za-z]+$/);
    assert.match(labels["severity"] ?? "", /^(critical|warning|info)$/, alert);
    assert.match(annotations["summary"] ?? "", /^.{15,}\.$/s, alert);
    assert.match(annotations["runbook"] ?? "", /^[A-Z].{20,}\.$/s, alert);
    if (held !== undefined) assert.match(held, /^\d+[sm]$/, alert);
    assert.match(expr, /[<>=]/, `${alert} compares nothing`);
    assert.ok(selectorsOf(expr).length > 0 || /\bup\b/.test(expr), alert);
  }
});

test("the dashboard's panels ask something, have names, and do not lie upon each other", () => {
  const { panels } = readDashboard();
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { title, type, gridPos, targets = [] } of panels) {
    assert.notEqual(title, "");
    if (type !== "row") assert.ok(targets.length > 0, title);
    for (const { expr, legendFormat } of targets) {
      assert.ok(selectorsOf(expr).length > 0, `${title}: ${expr}`);
      assert.notEqual(legendFormat, "", title);
    }
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      assert.ok(x < 24, title);
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!taken.has(`${x},${y}`), `${title} lies upon another panel`);
        taken.add(`${x},${y}`);
      }
    }
  }
});

test("the reader of queries finds names and labels, and what is not balanced", () => {
  const text = 'sum by (le, a) (rate(x_bucket{code=~"5..", b="("}[5m])) / on (c) y - 3 * max(z)';
  const found = selectorsOf(text).map(({ metric, matchers }) => [metric, matchers.length]);
  assert.deepEqual(found, [
    ["x_bucket", 2],
    ["y", 0],
    ["z", 0],
  ]);
  assert.deepEqual(selectorsOf(text)[0]?.groupedBy, ["le", "a", "c"]);
  assert.throws(() => selectorsOf("sum(rate(x[5m])"), /unbalanced/);
  for (const query of allQueries()) selectorsOf(query);
});

interface Scrapes {
  readonly rule_files: readonly string[];
  readonly scrape_configs: readonly {
    readonly job_name: string;
    readonly static_configs: readonly { readonly targets: readonly string[] }[];
  }[];
}

test("Prometheus asks every process of the compose file, where that process listens", () => {
  const compose = readCompose();
  const text = readFileSync(join(root, "docker/prometheus.yaml"), "utf8");
  const { scrape_configs: jobs } = parse(text, { merge: true }) as Scrapes;
  const words = Object.values(compose.services).map((service) => commandOf(service).join(" "));
  const asked = new Map(
    jobs.map(({ job_name: job, static_configs }) => [
      job,
      static_configs.flatMap(({ targets }) => targets),
    ]),
  );
  const counts = { apiserver: 3, store: 3, kubelet: 3, balancer: 2, scheduler: 2 };
  const all = { ...counts, "controller-manager": 2, "kube-proxy": 3 };
  for (const [job, count] of Object.entries(all)) {
    const targets = asked.get(job) ?? [];
    assert.equal(new Set(targets).size, count, job);
    for (const target of targets) {
      const [host = "", port = ""] = target.split(":");
      const flag = new RegExp(`--[a-z-]*port[= ]${port}\\b`);
      const listens = words.some(
        (line) =>
          line.includes(`--metrics-bind-address=${target}`) ||
          (line.includes(host) && flag.test(line)),
      );
      assert.ok(listens, `nothing listens at ${target} for ${job}`);
    }
  }
  const jobsNamed = allQueries().flatMap((query) =>
    selectorsOf(query).flatMap(({ matchers }) => matchers.filter(({ label }) => label === "job")),
  );
  for (const { value } of jobsNamed) assert.ok(asked.has(value), `there is no job ${value}`);
});

test("what the profile observe starts is pinned, unprivileged, and finds its files", () => {
  const { services, volumes } = readCompose();
  const observers = Object.entries(services).filter(([, { profiles }]) => profiles);
  assert.deepEqual(
    observers.map(([name]) => name),
    ["prometheus", "grafana"],
  );
  for (const [name, service] of observers) {
    const { image, user, read_only, cap_drop, security_opt, profiles } = service;
    assert.match(image ?? "", /^[a-z]+\/[a-z]+:v?\d+\.\d+\.\d+$/, name);
    assert.deepEqual(
      { user, read_only, cap_drop, security_opt, profiles },
      {
        ...{ user: "1000:1000", read_only: true, cap_drop: ["ALL"], profiles: ["observe"] },
        security_opt: ["no-new-privileges:true"],
      },
    );
    for (const volume of service.volumes ?? []) {
      const [from = ""] = volume.split(":");
      const there = from.startsWith("./")
        ? existsSync(join(root, "docker", from))
        : from in volumes;
      assert.ok(there && volume.endsWith(":ro"), `${name} mounts ${volume}`);
    }
  }
});
