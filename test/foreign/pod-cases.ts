/** What users do with pods, the same on every runtime: one list of cases on one cluster. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import type { Container, Event, Pod, PodSpec, Service } from "../../proto/gen/core.ts";
import { until } from "../e2e/cluster.ts";
import type { PodWorld } from "./pod-world.ts";

export interface Suite {
  /** The world, once it is there. */
  readonly world: () => PodWorld;
  container(script: string, more?: Partial<Container>): Container;
  pod(name: string, container: Container, more?: Partial<PodSpec>): object;
  get<T>(...words: readonly string[]): Promise<T>;
  phase(name: string, wanted: string): Promise<Pod>;
  logs(...words: readonly string[]): Promise<string>;
  exec(pod: string, ...command: readonly string[]): Promise<string>;
}

/** Registers the list of cases on the world that `open` makes; `more` adds a runtime's own. */
export function podCases<World extends PodWorld>(
  name: string,
  options: { readonly skip: string | false },
  open: () => Promise<World>,
  more?: (suite: Suite, world: () => World) => void,
): void {
  describe(`pods on ${name}`, { concurrency: 1, ...options }, () => {
    let opened: World | undefined;
    const world = () => {
      assert.ok(opened, "the world is open");
      return opened;
    };
    before(async () => {
      opened = await open();
    });
    after(async () => {
      await opened?.[Symbol.asyncDispose]();
    });
    const suite = suiteOf(world);
    workloads(suite);
    lives(suite);
    streams(suite);
    files(suite);
    network(suite);
    troubles(suite);
    more?.(suite, world);
    nodeDeath(suite);
  });
}

function suiteOf(world: () => PodWorld): Suite {
  const get = async <T>(...words: readonly string[]) =>
    JSON.parse(await world().kubectl("get", "-o", "json", ...words)) as T;
  return {
    world,
    get,
    container: (script, more = {}) => ({
      name: "c",
      image: world().image,
      command: ["sh", "-c", script],
      ...more,
    }),
    pod: (name, container, more = {}) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, labels: { app: name } },
      spec: { terminationGracePeriodSeconds: 3, containers: [container], ...more },
    }),
    phase: (name, wanted) =>
      until(`pod ${name} to be ${wanted}`, async () => {
        const pod = await get<Pod>("pod", name);
        const ready = pod.status?.conditions?.some(
          ({ type, status }) => type === "Ready" && status === "True",
        );
        const { phase } = pod.status ?? {};
        const is = wanted === "Ready" ? ready : phase === wanted;
        if (!is) throw new Error(JSON.stringify(pod.status));
        return pod;
      }),
    logs: (...words) => world().kubectl("logs", ...words),
    exec: (pod, ...command) => world().kubectl("exec", pod, "--", ...command),
  };
}

/** A document of group apps. */
export function workload(
  kind: string,
  name: string,
  replicas: number | undefined,
  spec: object,
  more: object = {},
) {
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec },
      ...more,
    },
  };
}

function workloads({ world, container, get, logs }: Suite): void {
  const readyPods = async (app: string) => {
    const { items } = await get<{ items: Pod[] }>("pods", "-l", `app=${app}`);
    return items.filter(
      ({ metadata, status }) =>
        metadata?.deletionTimestamp === undefined && status?.phase === "Running",
    );
  };

  test("a Deployment spreads over the nodes, rolls out and back", async () => {
    const template = (word: string) => ({
      terminationGracePeriodSeconds: 1,
      containers: [container(`echo ${word}; exec sleep 1000`)],
    });
    const rolled = () => world().kubectl("rollout", "status", "deployment/web", "--timeout=50s");
    await world().apply(workload("Deployment", "web", 3, template("one")));
    await rolled();
    const nodes = (await readyPods("web")).map(({ spec }) => spec?.nodeName);
    assert.deepEqual(nodes.sort(), [...world().nodes].sort());
    await world().apply(workload("Deployment", "web", 3, template("two")));
    await rolled();
    const said = () => logs("-l", "app=web", "--prefix=false");
    await until("the new pods alone", async () => (await said()) === "two\ntwo\ntwo\n");
    await world().kubectl("rollout", "undo", "deployment/web");
    await rolled();
    await until("the old pods again", async () => (await said()) === "one\none\none\n");
    await world().kubectl("delete", "deployment", "web", "--wait=false");
  });

  test("a StatefulSet starts in order, and a pod comes back under its name", async () => {
    const spec = {
      terminationGracePeriodSeconds: 1,
      containers: [container("hostname; exec sleep 1000")],
    };
    await world().apply(workload("StatefulSet", "db", 2, spec, { serviceName: "db" }));
    await world().kubectl("rollout", "status", "statefulset/db", "--timeout=50s");
    const [first, second] = (await readyPods("db")).sort((a, b) =>
      (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1,
    );
    assert.ok((first?.status?.startTime ?? "") <= (second?.status?.startTime ?? ""));
    if (world().runtime === "cri") assert.equal(await logs("db-1"), "db-1\n");
    await world().kubectl("delete", "pod", "db-0");
    await until("its successor", async () => {
      const now = (await readyPods("db")).find(({ metadata }) => metadata?.name === "db-0");
      return now !== undefined && now.metadata?.uid !== first?.metadata?.uid;
    });
    await world().kubectl("delete", "statefulset", "db", "--wait=false");
  });
}

function lives({ world, container, pod, phase, get, logs, exec }: Suite): void {
  const data = { volumeMounts: [{ name: "data", mountPath: "/data" }] };
  const volumes = [{ name: "data", emptyDir: {} }];

  test("probes: not ready until it says so, restarted when it is ill", async () => {
    const often = { periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 5 };
    const probed = container("touch /data/well; exec sleep 1000", {
      ...data,
      startupProbe: { exec: { command: ["test", "-e", "/data/well"] }, periodSeconds: 1 },
      readinessProbe: { exec: { command: ["test", "-e", "/data/ready"] }, ...often },
      livenessProbe: { exec: { command: ["test", "-e", "/data/well"] }, ...often },
    });
    await world().apply(pod("probed", probed, { volumes }));
    const first = await phase("probed", "Running");
    assert.equal(first.status?.containerStatuses?.[0]?.ready, false);
    await exec("probed", "touch", "/data/ready");
    await phase("probed", "Ready");
    await exec("probed", "rm", "/data/well");
    await until("its restart", async () => {
      const { status } = await get<Pod>("pod", "probed");
      return (status?.containerStatuses?.[0]?.restartCount ?? 0) > 0;
    });
    const { items } = await get<{ items: Event[] }>(
      ...["events", "--field-selector", "involvedObject.name=probed,reason=Unhealthy"],
    );
    assert.ok(items.some(({ message = "" }) => message.includes("Liveness probe failed")));
    await world().kubectl("delete", "pod", "probed", "--wait=false");
  });

  test("hooks run behind the start and before the stop", async () => {
    const hooked = container(
      "trap 'cat /data/last; exit 0' TERM; until cat /data/first; do sleep 0.1; done; " +
        "while :; do sleep 0.1; done",
      {
        ...data,
        lifecycle: {
          postStart: { exec: { command: ["sh", "-c", "echo hello > /data/first"] } },
          preStop: { exec: { command: ["sh", "-c", "echo goodbye > /data/last"] } },
        },
      },
    );
    await world().apply(pod("hooked", hooked, { volumes }));
    await phase("hooked", "Running");
    await until("the first hook", async () => (await logs("hooked")).includes("hello"));
    const following = world().start(["kubectl", "logs", "-f", "hooked"]);
    assert.ok(following.stdout);
    const said = text(following.stdout);
    // The follower has begun when it repeats what was said.
    await new Promise((resolve) => following.stdout?.once("readable", resolve));
    await world().kubectl("delete", "pod", "hooked");
    assert.match(await said, /hello\n(?:.*\n)*goodbye\n/);
  });

  test("a sidecar starts before the main container and ends behind it", async () => {
    const sidecar = container(
      "echo up > /data/side; trap 'exit 0' TERM; while :; do sleep 0.1; done",
      {
        ...data,
        name: "side",
        restartPolicy: "Always",
        startupProbe: { exec: { command: ["test", "-e", "/data/side"] }, periodSeconds: 1 },
      },
    );
    const init = container("echo done > /data/init", { ...data, name: "init" });
    const own = container("cat /data/init /data/side", data);
    const more = { volumes, restartPolicy: "Never", initContainers: [init, sidecar] };
    await world().apply(pod("aided", own, more));
    const ended = await phase("aided", "Succeeded");
    assert.equal(await logs("aided", "-c", "c"), "done\nup\n");
    const side = ended.status?.initContainerStatuses?.find(({ name }) => name === "side");
    assert.ok(side?.state?.terminated, JSON.stringify(side));
    await world().kubectl("delete", "pod", "aided", "--wait=false");
  });
}

function streams({ world, container, pod, phase, logs, exec }: Suite): void {
  before(async () => {
    const script = "echo one; echo two; echo three; exec sleep 1000";
    await world().apply(pod("streams", container(script)));
    await phase("streams", "Ready");
  });

  test("exec carries input, both outputs and the exit code", async () => {
    const command = ["kubectl", "exec", "-i", "streams", "--"];
    const script = "cat; echo bad >&2; exit 7";
    const told = await world().run([...command, "sh", "-c", script], "given\n");
    assert.equal(told.out, "given\n");
    assert.match(told.err, /^bad\n/);
    assert.equal(told.code, 7);
    const missing = await world().run([...command, "no-such-program"]);
    assert.notEqual(missing.code, 0);
    const flood = await world().run([...command, "sh", "-c", "head -c 20000000 /dev/zero"]);
    assert.equal(flood.out.length, 20_000_000);
    const large = "x".repeat(300_000);
    assert.equal((await world().run([...command, "cat"], large)).out.length, large.length);
  });

  test("logs: all, the last ones, with times, and of a run before", async () => {
    await until("all lines", async () => (await logs("streams")).split("\n").length === 4);
    assert.equal(await logs("streams", "--tail=1"), "three\n");
    assert.match(await logs("streams", "--tail=1", "--timestamps"), /^20\d\d-.*Z three\n$/);
    assert.equal(await logs("streams", "--limit-bytes=5"), "one\nt");
    await world().apply(pod("again", container("echo ran; sleep 0.2; exit 3")));
    await until("a second run", async () => {
      const told = await world().run(["kubectl", "logs", "again", "--previous"]);
      return told.code === 0 && told.out === "ran\n";
    });
    await world().kubectl("delete", "pod", "again", "--wait=false");
  });

  test("attach shows what comes and takes input", async () => {
    const script = "while read -r line; do echo got $line; done; echo over";
    await world().apply(
      pod("talk", container(script, { stdin: true, stdinOnce: true }), { restartPolicy: "Never" }),
    );
    await phase("talk", "Running");
    const told = await world().run(["kubectl", "attach", "-i", "talk"], "a\nb\n");
    assert.match(told.out, /got a\ngot b\nover\n$/, told.err);
    await phase("talk", "Succeeded");
    await world().kubectl("delete", "pod", "talk", "--wait=false");
  });

  test("port-forward reaches a port of the pod", async () => {
    const { busybox } = world();
    const script =
      `cd "$(mktemp -d)" && echo served > index.html && ` +
      `exec ${busybox} httpd -f -p ${listen(world())}8765`;
    await world().apply(pod("forwarded", container(script, { env: [podIP] })));
    await phase("forwarded", "Ready");
    const forward = world().start(["kubectl", "port-forward", "pod/forwarded", ":8765"]);
    try {
      let said = "";
      forward.stdout?.on("data", (piece: Buffer) => {
        said += piece.toString();
      });
      const port = await until(
        "the local port",
        async () => /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1] ?? undefined,
      );
      await until("an answer", async () => {
        const url = `http://127.0.0.1:${port}/index.html`;
        return (await world().run(["busybox", "wget", "-qO-", url])).out === "served\n";
      });
    } finally {
      forward.kill();
    }
    await world().kubectl("delete", "pod", "forwarded", "--wait=false");
  });

  test("cp there and back", async () => {
    const directory = mkdtempSync(join(tmpdir(), "trireme-cp-"));
    try {
      const bytes = Buffer.alloc(200_000, "copied ");
      writeFileSync(join(directory, "sent"), bytes);
      const there = "/tmp/trireme-copied";
      await world().kubectl("cp", join(directory, "sent"), `streams:${there}`);
      assert.match(await exec("streams", "wc", "-c", there), /^\s*200000\b/);
      await world().kubectl("cp", `streams:${there}`, join(directory, "back"));
      assert.ok(readFileSync(join(directory, "back")).equals(bytes));
      await exec("streams", "rm", there);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}

const podIP = { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } };

function files({ world, container, pod, phase, logs, exec }: Suite): void {
  test("volumes: configuration, secrets, tokens, and what two containers share", async () => {
    const metadata = { name: "settings" };
    await world().apply(
      { apiVersion: "v1", kind: "ConfigMap", metadata, data: { colour: "red" } },
      { apiVersion: "v1", kind: "Secret", metadata, stringData: { word: "hush" } },
    );
    const at = (name: string, mountPath: string) => ({ name, mountPath });
    const reader = container(
      "until test -e /shared/written; do sleep 0.1; done; " +
        "cat /config/colour; echo; cat /secret/word; echo; cat /shared/written; " +
        "test -s /tokens/token && echo token; echo $COLOUR; exec sleep 1000",
      {
        env: [
          { name: "COLOUR", valueFrom: { configMapKeyRef: { name: "settings", key: "colour" } } },
        ],
        volumeMounts: [
          ...[at("config", "/config"), at("secret", "/secret"), at("shared", "/shared")],
          at("tokens", "/tokens"),
        ],
      },
    );
    const writer = container("echo shared > /shared/written; exec sleep 1000", {
      name: "writer",
      volumeMounts: [at("shared", "/shared")],
    });
    const volumes = [
      { name: "config", configMap: { name: "settings" } },
      { name: "secret", secret: { secretName: "settings" } },
      { name: "shared", emptyDir: {} },
      { name: "tokens", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } },
    ];
    await world().apply(pod("files", reader, { containers: [reader, writer], volumes }));
    await phase("files", "Ready");
    const expected = "red\nhush\nshared\ntoken\nred\n";
    await until("all of it", async () => (await logs("files", "-c", "c")) === expected);
    await world().kubectl("delete", "pod", "files", "--wait=false");
  });

  test("a read-only mount and a user of its own", async () => {
    const own = container(
      "id -u; id -g; touch /data/x 2>/dev/null || echo refused; exec sleep 1000",
      {
        volumeMounts: [{ name: "data", mountPath: "/data", readOnly: true }],
        securityContext: { runAsUser: 1234, runAsGroup: 2345 },
      },
    );
    await world().apply(pod("limited", own, { volumes: [{ name: "data", emptyDir: {} }] }));
    await phase("limited", "Ready");
    const words = "1234\n2345\nrefused\n";
    await until("its words", async () => (await logs("limited")) === words);
    assert.match(await exec("limited", "id", "-u"), /^1234$/m);
    await world().kubectl("delete", "pod", "limited", "--wait=false");
  });
}

function network({ world, container, pod, phase, get, exec }: Suite): void {
  before(async () => {
    const { busybox } = world();
    const script =
      `cd "$(mktemp -d)" && echo from $NODE > index.html && ` +
      `exec ${busybox} httpd -f -p ${listen(world())}8080`;
    const node = { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } };
    const server = {
      ...container(script, { env: [podIP, node] }),
      readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
    };
    const spec = { terminationGracePeriodSeconds: 1, containers: [server] };
    const port = { port: 80, targetPort: 8080 };
    await world().apply(workload("Deployment", "site", 3, spec), {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "site" },
      spec: { selector: { app: "site" }, ports: [port] },
    });
    await world().apply(pod("client", container("exec sleep 1000")));
    await world().kubectl("rollout", "status", "deployment/site", "--timeout=50s");
    await phase("client", "Ready");
  });

  test("a service reaches its pods on every node", async () => {
    const { spec } = await get<Service>("service", "site");
    const { items } = await get<{ items: Pod[] }>("pods", "-l", "app=site");
    const nodes = [...new Set(items.map((each) => `from ${each.spec?.nodeName}`))].sort();
    assert.ok(nodes.length > 1, "the pods are on several nodes");
    const seen = new Set<string>();
    const url = `http://${spec?.clusterIP}/index.html`;
    await until("answers from all of them", async () => {
      const answer = await exec("client", world().busybox, "wget", "-qO-", url);
      seen.add(answer.trim());
      return seen.size === nodes.length;
    });
    assert.deepEqual([...seen].sort(), nodes);
  });

  test("a service has a name", async () => {
    const { spec } = await get<Service>("service", "site");
    const name = "site.default.svc.cluster.local";
    await until("the name", async () => {
      const said = await exec("client", world().busybox, "nslookup", "-type=a", name);
      return said.includes(`Address: ${spec?.clusterIP}`);
    });
    assert.match(await exec("client", "cat", "/etc/resolv.conf"), /search default\.svc\.cluster/);
  });
}

function troubles({ world, container, pod, get }: Suite): void {
  const waits = async (name: string, reason: string) =>
    until(`pod ${name} to wait for ${reason}`, async () => {
      const { status } = await get<Pod>("pod", name);
      const { state = {}, lastState = {} } = status?.containerStatuses?.[0] ?? {};
      const reasons = [
        state.waiting?.reason,
        state.terminated?.reason,
        lastState.terminated?.reason,
      ];
      if (!reasons.includes(reason)) throw new Error(JSON.stringify(status));
      return true;
    });

  test("what cannot run says why, and other pods go on", async () => {
    const absent = container("true", { image: "localhost/absent:1", imagePullPolicy: "Never" });
    await world().apply(
      pod("absent", absent),
      pod("misnamed", container("true", { image: "Not/An:Image:" })),
      pod("unknown", container("", { command: ["/no/such/program"] })),
      pod("wordless", container("true", { env: [missingKey] })),
    );
    await waits("absent", "ErrImageNeverPull");
    await waits("misnamed", "InvalidImageName");
    await waits("unknown", "StartError");
    await waits("wordless", "CreateContainerConfigError");
    await world().kubectl(...["delete", "pod", "absent", "misnamed", "unknown", "wordless"]);
  });

  test("a program that takes too much memory is killed for it", async (t) => {
    if (world().runtime !== "cri") return t.skip("a machine may have no memory cgroup");
    const greedy = container("x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", {
      resources: { limits: { memory: "24Mi" } },
    });
    await world().apply(pod("greedy", greedy, { restartPolicy: "Never" }));
    await waits("greedy", "OOMKilled");
    await world().kubectl("delete", "pod", "greedy", "--wait=false");
  });
}

const missingKey = {
  name: "X",
  valueFrom: { configMapKeyRef: { name: "no-such-map", key: "k" } },
};

function nodeDeath({ world, container, get }: Suite): void {
  test("the pods of a node that dies run elsewhere; of a StatefulSet never two", async () => {
    const spec = {
      terminationGracePeriodSeconds: 1,
      containers: [container("exec sleep 1000")],
    };
    await world().apply(
      workload("Deployment", "moves", 3, spec),
      workload("StatefulSet", "stays", 3, spec, {
        serviceName: "stays",
        podManagementPolicy: "Parallel",
      }),
    );
    for (const each of ["deployment/moves", "statefulset/stays"]) {
      await world().kubectl("rollout", "status", each, "--timeout=50s");
    }
    const dead = world().nodes.at(-1) ?? "";
    const podsOf = async (app: string) =>
      (await get<{ items: Pod[] }>("pods", "-l", `app=${app}`)).items;
    const before = await podsOf("stays");
    await world().kill(dead);
    await until("the node to be found dead", async () => {
      const told = await world().kubectl(
        ...["get", "node", dead, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"],
      );
      return told !== "True";
    });
    await until("three elsewhere", async () => {
      const running = (await podsOf("moves")).filter(
        ({ spec: where, status, metadata }) =>
          where?.nodeName !== dead &&
          status?.phase === "Running" &&
          metadata?.deletionTimestamp === undefined,
      );
      return running.length === 3;
    });
    const names = (await podsOf("stays")).map(({ metadata }) => metadata?.name);
    assert.equal(new Set(names).size, names.length);
    if (world().runtime === "cri") {
      // Nothing says that the machine's containers are gone: the pods there keep their names.
      const stuck = before.filter(({ spec: where }) => where?.nodeName === dead);
      const now = await podsOf("stays");
      for (const { metadata } of stuck) {
        const same = now.find((each) => each.metadata?.name === metadata?.name);
        assert.equal(same?.metadata?.uid, metadata?.uid);
      }
      // Until a person says so.
      const taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
      await world().kubectl("taint", "node", dead, taint);
      await until("their successors elsewhere", async () => {
        const pods = await podsOf("stays");
        const run = ({ spec: where, status }: Pod) =>
          where?.nodeName !== dead && status?.phase === "Running";
        return pods.length === 3 && pods.every(run);
      });
    }
  });
}

/** Where a program of a pod listens: pods that are processes of one machine have one network. */
function listen({ runtime }: PodWorld): string {
  return runtime === "cri" ? "" : "$POD_IP:";
}
