/**
 * Prometheus itself: it reads the alert rules, each of which fires when it must and not before, and it
 * asks every process of a cluster by `docker/prometheus.yaml`, whose jobs get other addresses here.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parse, stringify } from "yaml";
import { ports } from "../../services/cli/layout.ts";
import { RestClient } from "../balancer/rest-fakes.ts";
import { root } from "../docker/compose.ts";
import { readAlerts, readDashboard } from "../docker/queries.ts";
import { TestCluster } from "../e2e/cluster.ts";
import { eventually } from "../patience.ts";
import { alertCases } from "./alert-cases.ts";
import { needs } from "./needs.ts";
import { Prometheus } from "./prometheus-process.ts";

const rulesFile = join(root, "docker/alerts.yaml");
const masters = 1;
const nodes = 1;
const host = "127.0.0.1";
/** Two samples, of which a rate is made. */

function promtool(...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync("promtool", args, { encoding: "utf8" });
  assert.equal(status, 0, `promtool ${args.join(" ")}\n${stdout}${stderr}`);
}

interface Config {
  global: Record<string, string>;
  rule_files: string[];
  scrape_configs: {
    readonly job_name: string;
    readonly scheme?: string;
    tls_config?: Record<string, string>;
    authorization?: { readonly credentials_file: string };
    static_configs: readonly { readonly targets: readonly string[] }[];
  }[];
}

interface Target {
  readonly health: string;
  readonly lastError: string;
  readonly labels: { readonly job: string; readonly instance: string };
}

describe("Prometheus", needs("prometheus", "prometheus"), () => {
  const prometheus = new Prometheus();
  let cluster: TestCluster;

  before(async () => {
    cluster = new TestCluster();
    await cluster.up(["--masters", String(masters), "--nodes", String(nodes)]);
  });
  after(async () => {
    await prometheus.close();
    await cluster?.close();
  });

  const pki = (name: string) => join(cluster.directory, "pki", name);

  /** The jobs of `docker/prometheus.yaml` with the addresses and files of this cluster. */
  function config(): Config {
    const text = readFileSync(join(root, "docker/prometheus.yaml"), "utf8");
    const read = parse(text, { merge: true }) as Config;
    const at = ports({ dataDirectory: "", basePort: cluster.basePort, masters, nodes });
    const { balancers, schedulers, controllerManagers } = cluster.endpoints;
    const targets: Readonly<Record<string, readonly number[]>> = {
      apiserver: [at.master(0).https],
      store: [at.master(0).etcd],
      kubelet: [at.kubelet(0)],
      balancer: balancers.map((_, i) => at.metrics.balancer(i)),
      scheduler: schedulers.map((_, i) => at.metrics.scheduler(i)),
      "controller-manager": controllerManagers.map((_, i) => at.metrics.controllerManager(i)),
      "kube-proxy": [at.metrics.kubeProxy(0)],
    };
    read.global = { scrape_interval: "1s", evaluation_interval: "1s" };
    read.rule_files = [rulesFile];
    for (const job of read.scrape_configs) {
      const { tls_config: tls = {} } = job;
      const own = Object.entries(tls).map(([key, file]) => [key, file.replace("/pki", pki(""))]);
      if (job.tls_config !== undefined) job.tls_config = Object.fromEntries(own);
      const all = (targets[job.job_name] ?? []).map((port) => `${host}:${port}`);
      job.static_configs = [{ targets: all }];
    }
    return read;
  }

  /** A service account that may read metrics, by the role that every cluster has for it. */
  async function monitorsToken(): Promise<string> {
    const pem = (name: string) => readFileSync(pki(name), "utf8");
    const tls = { ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") };
    const client = new RestClient(
      ports({ dataDirectory: "", basePort: cluster.basePort, masters, nodes }).master(0).https,
      tls,
    );
    const make = async (path: string, document: object) => {
      const headers = { "content-type": "application/json" };
      const answer = await client.ask("POST", path, { headers, body: JSON.stringify(document) });
      assert.equal(answer.status, 201, answer.text);
      return JSON.parse(answer.text) as { readonly status?: { readonly token?: string } };
    };
    const accounts = "/api/v1/namespaces/default/serviceaccounts";
    await make(accounts, { metadata: { name: "monitor" } });
    await make("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
      metadata: { name: "monitor" },
      roleRef: {
        apiGroup: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        name: "system:monitoring",
      },
      subjects: [{ kind: "ServiceAccount", name: "monitor", namespace: "default" }],
    });
    const { status } = await make(`${accounts}/monitor/token`, { spec: {} });
    client.close();
    return status?.token ?? "";
  }

  test("the alert rules are rules, and each fires when it must, and not before", () => {
    promtool("check", "rules", rulesFile);
    const alerts = readAlerts();
    assert.deepEqual(
      alertCases.map(({ alert }) => alert).toSorted(),
      alerts.map(({ alert }) => alert).toSorted(),
    );
    const tests = alertCases.map(({ alert, series, quietAt, firesAt, labels }) => {
      const rule = alerts.find((each) => each.alert === alert);
      const filled = Object.entries(rule?.annotations ?? {}).map(([name, text]) => [
        name,
        text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? ""),
      ]);
      const fired = {
        exp_labels: { ...rule?.labels, ...labels },
        exp_annotations: Object.fromEntries(filled),
      };
      return {
        name: alert,
        interval: "10s",
        input_series: Object.entries(series).map(([one, values]) => ({ series: one, values })),
        alert_rule_test: [
          { eval_time: quietAt, alertname: alert, exp_alerts: [] },
          { eval_time: firesAt, alertname: alert, exp_alerts: [fired] },
        ],
      };
    });
    const file = { rule_files: [rulesFile], evaluation_interval: "10s", tests };
    promtool("test", "rules", prometheus.write("alert-cases.yaml", stringify(file)));
  });

  test("every process of a cluster is asked, and every query of alerts and dashboard answers", async () => {
    const jobs = config();
    const [apiserver] = jobs.scrape_configs;
    jobs.scrape_configs.push({
      ...{ job_name: "apiserver-by-token", scheme: "https" },
      tls_config: { ca_file: pki("ca.crt") },
      authorization: { credentials_file: prometheus.write("token", await monitorsToken()) },
      static_configs: apiserver?.static_configs ?? [],
    });
    const file = prometheus.write("prometheus.yaml", stringify(jobs));
    promtool("check", "config", file);
    await prometheus.start(file);

    const all = jobs.scrape_configs.flatMap(({ job_name: job, static_configs }) =>
      static_configs.flatMap(({ targets }) => targets.map((instance) => ({ job, instance }))),
    );
    assert.ok(all.length >= 2 + 7);
    let told = "";
    await eventually("all targets are up, for two samples", async () => {
      const { activeTargets } = await prometheus.ask<{ activeTargets: Target[] }>("targets");
      told = activeTargets
        .map(
          ({ labels, health, lastError }) =>
            `${labels.job} ${labels.instance} ${health} ${lastError}`,
        )
        .join("\n");
      const { result } = await prometheus.ask<{ result: { value: [number, string] }[] }>("query", {
        query: "count_over_time(up[30s]) >= 2 and up == 1",
      });
      return result.length === all.length;
    }).catch((error: Error) => assert.fail(`${error.message}\n${told}`));

    const { panels } = readDashboard();
    for (const { title, targets = [] } of panels) {
      for (const { expr } of targets) {
        // Grafana puts it in: at least four intervals.
        const query = expr.replaceAll("$__rate_interval", "4s");
        assert.ok(await prometheus.ask("query", { query }), title);
      }
    }
    interface Group {
      readonly rules: readonly {
        name: string;
        health: string;
        lastError?: string;
        state: string;
      }[];
    }
    const { groups } = await prometheus.ask<{ groups: Group[] }>("rules");
    const rules = groups.flatMap((group) => group.rules);
    assert.equal(rules.length, readAlerts().length);
    for (const { name, health, lastError, state } of rules) {
      assert.equal(health, "ok", `${name}: ${lastError}`);
      assert.notEqual(state, "firing", `${name} fires in a sound cluster`);
    }
  });
});
