/** The whole ship on real processes: it runs an application, and masters, schedulers and nodes die. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { get } from "node:http";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { samplesOf, scrapeAll, scrapeTargets } from "../../services/cli/observe/scrape.ts";
import type { TriremeClient } from "../../services/client/mod.ts";
import { allQueries, selectorsOf, targetLabels } from "../docker/queries.ts";
import { TestCluster, trireme, until } from "./cluster.ts";

const example = join(dirname(import.meta.dirname), "examples/web.yaml");

function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 2_000 }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve(text.trim()));
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", reject);
  });
}

/** Names of the ready pods of the example, by node; only of the given nodes' judgement. */
async function readyPods(client: TriremeClient) {
  const { items } = await client.pods.list({ namespace: "default", labelSelector: "app=web" });
  return items.filter(
    (pod) =>
      pod.metadata?.deletionTimestamp === undefined &&
      pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
  );
}

/** Processes whose environment says that they run in a pod of one of these addresses. */
function processesOf(addresses: readonly string[]): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
      return addresses.some((address) => environment.includes(`POD_IP=${address}`));
    } catch {
      return false; // it has ended, or is another user's
    }
  });
}

describe("a cluster of processes", { concurrency: 1 }, () => {
  const cluster = new TestCluster();
  let client: TriremeClient;

  before(async () => {
    // No collector listens there: what is traced is dropped, and nothing else suffers.
    const traces = ["--otlp-endpoint", "http://127.0.0.1:9", "--trace-sample", "0.2"];
    await cluster.up(["--node-return-seconds", "600", ...traces]);
    client = cluster.client();
  });
  after(async () => {
    client?.close();
    await cluster.close();
  });

  test("status names every process, and who leads", async () => {
    const { code, stdout } = await cluster.run(["status", "--json"]);
    assert.equal(code, 0);
    const status = JSON.parse(stdout) as { leader: string; masters: { leader: boolean }[] };
    assert.equal(status.masters.length, 3);
    assert.match(status.leader, /^master-[012]$/);
    assert.equal(status.masters.filter((master) => master.leader).length, 1);
  });

  test("the README's example runs: a pod on each node, the service answers from all", async () => {
    const applied = await cluster.run(["apply", "-f", example]);
    assert.equal(applied.code, 0, applied.stderr);
    assert.match(applied.stdout, /deployment\.apps\/web created\nservice\/web created/);
    const pods = await until("three ready pods", async () => {
      const ready = await readyPods(client);
      return ready.length === 3 ? ready : undefined;
    });
    assert.equal(new Set(pods.map((pod) => pod.spec?.nodeName)).size, 3);
    const service = await client.services.get("web", "default");
    const url = `http://${service.spec?.clusterIP}/`;
    const seen = new Set<string>();
    await until("an answer from every pod", async () => {
      seen.add(await fetchText(url));
      return seen.size === 3;
    });
    assert.deepEqual(seen, new Set(pods.map((pod) => pod.metadata?.name)));
    const again = await cluster.run(["apply", "-f", example]);
    assert.match(again.stdout, /deployment\.apps\/web unchanged\nservice\/web unchanged/);
  });

  // Below port 1024, as the example's service is: the system lets Trireme bind both or none.
  test("a program in a pod finds the service by its name", async () => {
    const names = ["web", "web.default.svc", "web.default.svc.cluster.local"];
    const script = `for (const name of ${JSON.stringify(names)})
      console.log(name, (await (await fetch("http://" + name)).text()).trim());`;
    const command = [process.execPath, "--input-type=module", "-e", script];
    await client.pods.create({
      metadata: { name: "asks", namespace: "default" },
      spec: { restartPolicy: "Never", containers: [{ name: "c", image: "node", command }] },
    });
    await until("the pod to end", async () => {
      const { status } = await client.pods.get("asks", "default");
      return status?.phase === "Succeeded" || status?.phase === "Failed";
    });
    const { stdout } = await cluster.run(["logs", "asks"]);
    for (const name of names) assert.match(stdout, new RegExp(`^${name} web-`, "m"), stdout);
    await client.pods.delete("asks", "default");
  });

  test("logs of a pod are read from its node", async () => {
    const [pod] = await readyPods(client);
    const { code, stderr } = await cluster.run(["logs", pod?.metadata?.name ?? ""]);
    assert.equal(code, 0, stderr);
  });

  test("the leading master is killed under writes: none fails, none is lost", async () => {
    const acknowledged: string[] = [];
    let stop = false;
    const write = async (writer: number) => {
      for (let i = 0; !stop; i++) {
        const name = `kill-${writer}-${i}`;
        await client.configMaps.create({
          metadata: { name, namespace: "default" },
          data: { name },
        });
        acknowledged.push(name);
      }
    };
    const writers = Promise.all([0, 1, 2, 3].map(write));
    await until("writes", async () => acknowledged.length > 50);
    const leader = cluster.endpoints.masters.find((master) => master.leader);
    assert.ok(leader?.pid);
    process.kill(leader.pid, "SIGKILL");
    const atKill = acknowledged.length;
    await until("writes after the kill", async () => acknowledged.length > atKill + 50);
    stop = true;
    await writers;
    const stored = await client.configMaps.list({ namespace: "default" });
    const names = new Set(stored.items.map((item) => item.metadata?.name));
    assert.deepEqual(
      acknowledged.filter((name) => !names.has(name)),
      [],
    );
    await until("the killed master to catch up", async () => {
      const { stdout } = await cluster.run(["status", "--json"]);
      const { masters } = JSON.parse(stdout) as {
        masters: { name: string; status?: { revision: number; ready: boolean } }[];
      };
      const revisions = new Set(masters.map((master) => master.status?.revision));
      return masters.every((master) => master.status?.ready) && revisions.size === 1;
    });
  });

  test("explain-outage tells of the killed leader: when, how long, and what recovered it", async () => {
    const told = await until("the outage is told", async () => {
      const { code, stdout, stderr } = await cluster.run(["explain-outage", "--json"]);
      assert.equal(code, 0, stderr);
      const { outages, notRead, timeline, summary } = JSON.parse(stdout);
      return outages.length > 0 ? { outages, notRead, timeline, summary } : undefined;
    });
    assert.deepEqual(told.notRead, []);
    const [outage] = told.outages;
    const victim = outage.leaderBefore;
    const now = cluster.endpoints.masters.find((master) => master.leader)?.name;
    assert.equal(told.outages.length, 1);
    assert.deepEqual([outage.cause, outage.leaderAfter], ["was ended by SIGKILL", now]);
    assert.notEqual(victim, now);
    assert.ok(outage.millis > 0);
    const texts = told.timeline.map(({ text }: { text: string }) => text);
    assert.ok(texts.includes(`${victim} was ended by SIGKILL`), texts.join("\n"));
    assert.ok(texts.some((text: string) => text.startsWith(`${now} leads in term `)));
    assert.match(
      told.summary,
      new RegExp(`${victim}, which led, was ended by SIGKILL; writes and`),
    );
    assert.match(told.summary, new RegExp(`until ${now} recovered it, which was elected in term`));
    const timers = await cluster.run(["timers", "--json"]);
    assert.equal(timers.code, 0, timers.stderr);
    const { cluster: asked, timers: rows } = JSON.parse(timers.stdout);
    assert.equal(asked, true);
    const grace = rows.find(({ name }: { name: string }) => name === "nodeGrace");
    const from = ["controller-manager-0", "controller-manager-1"];
    assert.deepEqual(grace.values, [{ seconds: 20, from }]);
  });

  test("every metric of the dashboard and the alerts is one that a process tells", async () => {
    const { endpoints, directory } = cluster;
    const kept = JSON.parse(readFileSync(join(directory, "cluster.json"), "utf8"));
    const targets = scrapeTargets(endpoints, { ...kept, dataDirectory: directory });
    const scrapes = await scrapeAll(targets, endpoints);
    const silent = scrapes.filter(({ text }) => text === undefined);
    assert.deepEqual(silent, []);
    const told = new Map<string, { labels: Set<string>; values: Set<string> }>();
    for (const { text = "" } of scrapes) {
      for (const [, metric = "", inner = ""] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
        const known = told.get(metric) ?? { labels: new Set(), values: new Set() };
        told.set(metric, known);
        for (const [, label = "", value = ""] of inner.matchAll(/(\w+)="([^"]*)"/g)) {
          known.labels.add(label);
          known.values.add(`${label}=${value}`);
        }
      }
      for (const [, metric = ""] of text.matchAll(/^# TYPE (\w+) /gm)) {
        if (!told.has(metric)) told.set(metric, { labels: new Set(), values: new Set() });
      }
    }
    for (const query of allQueries()) {
      for (const { metric, matchers, groupedBy } of selectorsOf(query)) {
        const known = told.get(metric);
        assert.ok(known, `${metric} is told by no process: ${query}`);
        if (known.labels.size === 0) continue;
        const asked = [...matchers.map(({ label }) => label), ...groupedBy];
        for (const label of asked.filter((each) => !targetLabels.has(each))) {
          assert.ok(known.labels.has(label), `${metric} has no label ${label}: ${query}`);
        }
        for (const { label, operator, value } of matchers) {
          if (operator !== "=" || targetLabels.has(label)) continue;
          assert.ok(known.values.has(`${label}=${value}`), `no ${metric} with ${label}=${value}`);
        }
      }
    }
    const dropped = scrapes.flatMap(({ text = "" }) =>
      samplesOf(text, "trireme_trace_spans_dropped_total").map(({ value }) => value),
    );
    assert.ok(
      dropped.some((count) => count > 0),
      "no collector is there",
    );
  });

  test("the leading scheduler is killed: the standby binds", async () => {
    const lease = await client.leases.get("kube-scheduler", "kube-system");
    const holder = lease.spec?.holderIdentity ?? "";
    const scheduler = cluster.endpoints.schedulers.find(({ pid }) => holder.includes(`_${pid}_`));
    assert.ok(scheduler?.pid, `no scheduler is ${holder}`);
    process.kill(scheduler.pid, "SIGKILL");
    await client.deployments.patch("web", "default", "merge", { spec: { replicas: 4 } });
    await until(
      "a fourth pod, placed by the standby",
      async () => (await readyPods(client)).length === 4,
    );
    const now = await client.leases.get("kube-scheduler", "kube-system");
    assert.notEqual(now.spec?.holderIdentity, holder);
  });

  test("a node is killed: it is NotReady, and its pods run elsewhere", async () => {
    const [victim] = cluster.endpoints.nodes;
    assert.ok(victim?.pid);
    const { items } = await client.pods.list({
      namespace: "default",
      fieldSelector: `spec.nodeName=${victim.name}`,
    });
    const addresses = items.flatMap((pod) => pod.status?.podIP ?? []);
    assert.ok(addresses.length > 0 && processesOf(addresses).length > 0);
    process.kill(victim.pid, "SIGKILL");
    await until(
      "the pods' processes are lost with it",
      async () => processesOf(addresses).length === 0,
    );
    await until(
      "the node to be NotReady",
      async () => {
        const node = await client.nodes.get(victim.name);
        return node.status?.conditions?.some((c) => c.type === "Ready" && c.status !== "True");
      },
      90_000,
    );
    await until("four ready pods on the other nodes", async () => {
      const ready = await readyPods(client);
      return ready.length === 4 && ready.every((pod) => pod.spec?.nodeName !== victim.name);
    });
  });

  test("everything is killed and started again: same objects, same revisions", async () => {
    const describeAll = async () => {
      const { items } = await client.configMaps.list({ namespace: "default" });
      return items.map((o) => [o.metadata?.name, o.metadata?.uid, o.metadata?.resourceVersion]);
    };
    const beforeKill = await describeAll();
    client.close();
    for (const pid of cluster.pids()) process.kill(pid, "SIGKILL");
    await cluster.up();
    client = cluster.client();
    assert.deepEqual(await describeAll(), beforeKill);
    await until("the pods to be ready again", async () => (await readyPods(client)).length === 4);
  });

  test("bad input is named, and nothing dies of it", async () => {
    const manifest = (text: string) => cluster.run(["apply", "-f", "-"], text);
    const cases: readonly (readonly [string, RegExp])[] = [
      ["apiVersion: v1\nkind: Nothing\nmetadata: {name: x}", /no matches for kind "Nothing"/],
      ["apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b}", /metadata\.name.*RFC 1123/],
      ["apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nfoo: 1", /unknown field "foo"/],
      ["apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n", /standard input: .*line/s],
      [
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata: {a: "${"x".repeat(1_600_000)}"}`,
        /1572864/,
      ],
    ];
    for (const [text, expected] of cases) {
      const { code, stderr } = await manifest(text);
      assert.equal(code, 1, text.slice(0, 80));
      assert.match(stderr, expected);
    }
    const conflict = await client.configMaps
      .update({ metadata: { name: "kill-0-0", namespace: "default", resourceVersion: "1" } })
      .then(
        () => undefined,
        (error: { code: number; message: string }) => error,
      );
    assert.equal(conflict?.code, 10);
    assert.match(conflict?.message ?? "", /the object has been modified/);
    const missing = await cluster.run(["get", "pod", "nobody"]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /Error from server \(NotFound\): pods "nobody" not found/);
  });

  test("an address in use, a founded cluster's shape and a foreign certificate are named", async (t) => {
    const { basePort } = cluster;
    const other = new TestCluster(basePort);
    t.after(() => other.close());
    await assert.rejects(other.up(), new RegExp(`port ${basePort} on 127\\.0\\.0\\.1 is in use`));
    const again = await cluster.run(["up", "--masters", "5"]);
    assert.match(again.stderr, /was founded with 3/);
    const foreign = join(other.directory, "pki");
    assert.equal((await trireme(["certs", "--dir", foreign])).code, 0);
    const { grpc, ca } = cluster.endpoints;
    const credentials = ["--client-certificate", join(foreign, "admin.crt")];
    credentials.push("--client-key", join(foreign, "admin.key"));
    const server = ["--server", grpc, "--certificate-authority", ca];
    const refused = await trireme(["get", "pods", ...server, ...credentials]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /not signed by this cluster's CA/);
  });

  test("the README shows the example as it is", () => {
    const readme = readFileSync(join(dirname(dirname(import.meta.dirname)), "README.md"), "utf8");
    assert.ok(readme.includes(readFileSync(example, "utf8").trim()));
  });
});
