/**
 * kubectl and a whole cluster of processes: each kind of workload does what its name promises, and
 * what a dead node took away comes back elsewhere.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { TestCluster, until } from "../e2e/cluster.ts";
import { kubectl } from "./kubectl-process.ts";
import { needs } from "./needs.ts";

const idle = "setInterval(() => {}, 1e6)";
/** A JSON list of containers with one that runs this script. */
const program = (script: string, more: object = {}) => [
  { name: "c", image: "node", command: ["node", "-e", script], ...more },
];
const workload = (kind: string, name: string, spec: object, pod: object): string =>
  JSON.stringify({
    apiVersion: "apps/v1",
    kind,
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 1, containers: program(idle), ...pod },
      },
      ...spec,
    },
  });

suite("kubectl and the loops of a cluster", needs("kubectl", "kubernetes-client"), () => {
  const cluster = new TestCluster();

  before(async () => {
    const machine = ["--masters", "1", "--nodes", "3", "--node-capacity", "cpu=4,memory=4Gi"];
    await cluster.up([...machine, "--bridge", "false", "--node-return-seconds", "600"]);
  });
  after(async () => {
    await cluster.close();
  });

  /** The kubectl of one namespace, which is made first. */
  async function space(namespace: string) {
    const run = (line: string, input = "") =>
      kubectl(cluster.endpoints.kubeconfig, ["-n", namespace, ...words(line)], { input });
    const ok = async (line: string, input = ""): Promise<string> => {
      const { code, out, err } = await run(line, input);
      assert.equal(code, 0, `kubectl -n ${namespace} ${line}\n${out}\n${err}`);
      return out;
    };
    const shows = (line: string, pattern: RegExp, withinMillis = 60_000) => {
      const what = `kubectl -n ${namespace} ${line} to show ${pattern}`;
      let last = "";
      return until(
        what,
        async () => {
          const { out, err } = await run(line);
          last = out + err;
          if (pattern.test(last)) return last;
          throw new Error(last);
        },
        withinMillis,
        300,
      );
    };
    await ok(`create namespace ${namespace}`);
    return { run, ok, shows };
  }

  suite("side by side", { concurrency: true }, () => {
    test("a Deployment is rolled, paused, resumed and undone", async () => {
      const { ok, shows } = await space("rolls");
      await ok("apply -f -", workload("Deployment", "web", { replicas: 2 }, {}));
      await ok("rollout status deployment/web --timeout=60s");
      await ok("set env deployment/web STEP=1");
      await ok("rollout status deployment/web --timeout=60s");
      await ok("rollout pause deployment/web");
      await ok("set env deployment/web STEP=2");
      await shows(
        'get deployment web -o jsonpath={.status.conditions[?(@.type=="Progressing")].reason}',
        /^DeploymentPaused$/,
      );
      assert.equal((await ok("get rs -o name")).trim().split("\n").length, 2);
      await ok("rollout resume deployment/web");
      await ok("rollout status deployment/web --timeout=60s");
      await ok("rollout undo deployment/web");
      await ok("rollout status deployment/web --timeout=60s");
      const step =
        "get deployment web -o jsonpath={.spec.template.spec.containers[0].env[0].value}";
      assert.equal(await ok(step), "1");
      assert.match(await ok("rollout history deployment/web"), /^1 [\s\S]*^3 [\s\S]*^4 /m);
      assert.match(
        await ok("describe deployment web"),
        /ScalingReplicaSet .*Scaled up replica set web-\w+ from 0 to 2/,
      );
    });

    test("a StatefulSet's data survive its pods", async () => {
      const { ok, shows } = await space("states");
      const script =
        'const fs = require("node:fs"); const file = process.env.DATA + "/names";' +
        'fs.appendFileSync(file, process.env.HOSTNAME + "\\n");' +
        `console.log(fs.readFileSync(file, "utf8")); ${idle};` +
        // kubectl asks for the pod, then lists it: it waits for ever if another has its name by then.
        'process.on("SIGTERM", () => setTimeout(() => process.exit(0), 2_000));';
      const mount = {
        workingDir: "/tmp",
        env: [{ name: "DATA", value: "/tmp/data" }],
        volumeMounts: [{ name: "data", mountPath: "/tmp/data" }],
      };
      const claims = [
        {
          metadata: { name: "data" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } } },
        },
      ];
      const spec = { serviceName: "db", replicas: 2, volumeClaimTemplates: claims };
      const pod = { containers: program(script, mount) };
      await ok("apply -f -", workload("StatefulSet", "db", spec, pod));
      await ok("rollout status statefulset/db --timeout=60s");
      await shows("logs db-1", /^db-1\n\n$/);
      await ok("delete pod db-1 --wait");
      await ok("wait --for=create pod/db-1 --timeout=60s");
      await ok("wait --for=condition=Ready pod/db-1 --timeout=60s");
      // The nodes of one machine share the directories of its volumes: any of them will do.
      await shows("logs db-1", /^db-1\ndb-1\n\n$/);
      assert.match(await ok("get pvc"), /^data-db-0 +Bound[\s\S]*^data-db-1 +Bound/m);
    });

    test("a DaemonSet has a pod on every node, and rolls", async () => {
      const { ok } = await space("daemons");
      await ok("apply -f -", workload("DaemonSet", "agent", {}, {}));
      await ok("rollout status daemonset/agent --timeout=60s");
      const nodes = async () =>
        (await ok("get pods -o jsonpath={.items[*].spec.nodeName}")).split(" ").sort();
      assert.deepEqual(await nodes(), ["node-0", "node-1", "node-2"]);
      await ok("set env daemonset/agent STEP=1");
      await ok("rollout status daemonset/agent --timeout=60s");
      assert.match(await ok("get daemonset agent"), /^agent +3 +3 +3 +3 +3 /m);
    });

    test("an indexed Job completes each of its indexes", async () => {
      const { ok } = await space("jobs");
      const script = "console.log(process.env.JOB_COMPLETION_INDEX)";
      const job = {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { name: "sum" },
        spec: {
          ...{ completionMode: "Indexed", completions: 3, parallelism: 2 },
          template: { spec: { restartPolicy: "Never", containers: program(script) } },
        },
      };
      await ok("apply -f -", JSON.stringify(job));
      await ok("wait --for=condition=Complete job/sum --timeout=60s");
      assert.equal(await ok("get job sum -o jsonpath={.status.completedIndexes}"), "0-2");
      const logs = await ok("logs -l batch.kubernetes.io/job-name=sum --tail=-1");
      assert.deepEqual(logs.trim().split("\n").sort(), ["0", "1", "2"]);
    });

    test("a CronJob starts Jobs at its times", async () => {
      const { ok, shows } = await space("times");
      const cron = {
        apiVersion: "batch/v1",
        kind: "CronJob",
        metadata: { name: "tick" },
        spec: {
          schedule: "@every 2s",
          jobTemplate: {
            spec: { template: { spec: { restartPolicy: "Never", containers: program("0") } } },
          },
        },
      };
      await ok("apply -f -", JSON.stringify(cron));
      await shows("get jobs", /^tick-\d+ +Complete +1\/1/m);
      await shows("get cronjob tick -o jsonpath={.status.lastSuccessfulTime}", /^\d{4}-/);
      await ok("delete cronjob tick");
    });

    test("an autoscaler follows the load of its Deployment", async () => {
      const { ok, shows } = await space("loads");
      const busy = "setInterval(() => { const t = Date.now(); while (Date.now() - t < 15); }, 100)";
      const resources = { requests: { cpu: "50m" } };
      const pod = { containers: program(busy, { resources }) };
      await ok("apply -f -", workload("Deployment", "busy", { replicas: 1 }, pod));
      await ok("rollout status deployment/busy --timeout=60s");
      await ok("autoscale deployment busy --min=1 --max=2 --cpu-percent=50");
      await shows("get deployment busy", /^busy +2\/2 /m, 120_000);
      assert.match(
        await shows("describe hpa busy", /SuccessfulRescale/),
        /New size: 2; reason: cpu resource utilization \(percentage of request\) above target/,
      );
      await ok("delete deployment busy --wait=false");
    });

    test("pods that avoid each other stand on three nodes", async () => {
      const { ok } = await space("apart");
      const term = {
        labelSelector: { matchLabels: { app: "trio" } },
        topologyKey: "kubernetes.io/hostname",
      };
      const affinity = {
        podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] },
      };
      await ok("apply -f -", workload("Deployment", "trio", { replicas: 3 }, { affinity }));
      await ok("rollout status deployment/trio --timeout=60s");
      const nodes = (await ok("get pods -o jsonpath={.items[*].spec.nodeName}")).split(" ");
      assert.equal(new Set(nodes).size, 3);
    });

    test("a quota refuses what is too much, and the Deployment says so", async () => {
      const { ok, run, shows } = await space("bounded");
      await ok("create quota bounds --hard=pods=1,requests.cpu=1");
      const resources = { requests: { cpu: "600m" } };
      const pod = { containers: program(idle, { resources }) };
      await ok("apply -f -", workload("Deployment", "web", { replicas: 2 }, pod));
      const words =
        /pods "web-\S+" is forbidden: exceeded quota: bounds, requested: pods=1,requests\.cpu=600m, used: pods=1,requests\.cpu=600m, limited: pods=1,requests\.cpu=1/;
      await shows(
        'get deployment web -o jsonpath={.status.conditions[?(@.type=="ReplicaFailure")].message}',
        words,
      );
      await shows("get events --field-selector=reason=FailedCreate", words);
      const { code, err } = await run("run silent --image=node");
      assert.notEqual(code, 0);
      assert.match(err, /failed quota: bounds: must specify requests\.cpu for: silent/);
      assert.match(await ok("describe quota bounds"), /requests\.cpu +600m +1$/m);
    });

    test("a deleted namespace goes with all that is in it, and says what holds it", async () => {
      const { ok, run, shows } = await space("doomed");
      await ok("apply -f -", workload("Deployment", "web", { replicas: 2 }, {}));
      await ok("rollout status deployment/web --timeout=60s");
      await ok("create configmap held");
      await ok("patch configmap held --type=merge -p=METADATA");
      await ok("delete namespace doomed --wait=false");
      await shows(
        "get namespace doomed -o jsonpath={.status.conditions[*].message}",
        /Some content in the namespace has finalizers remaining: example\.com\/hold in 1 resource instances/,
      );
      await ok(
        'patch configmap held --type=json -p=[{"op":"remove","path":"/metadata/finalizers"}]',
      );
      await ok("wait --for=delete namespace/doomed --timeout=60s");
      assert.match((await run("get all")).err, /No resources found/);
    });

    test("a pod that matters more takes the place of another", async () => {
      const { ok, shows } = await space("classes");
      await ok("create priorityclass first-class --value=1000");
      const pod = (name: string, more: object) =>
        JSON.stringify({
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name },
          spec: {
            terminationGracePeriodSeconds: 1,
            nodeSelector: { "kubernetes.io/hostname": "node-2" },
            containers: program(idle, { resources: { requests: { cpu: "3" } } }),
            ...more,
          },
        });
      await ok("apply -f -", pod("small", {}));
      await ok("wait --for=condition=Ready pod/small --timeout=60s");
      await ok("apply -f -", pod("great", { priorityClassName: "first-class" }));
      await ok("wait --for=condition=Ready pod/great --timeout=60s");
      await shows(
        "get events --field-selector=reason=Preempted",
        /Preempted by pod \S+ on node node-2/,
      );
      await ok("wait --for=delete pod/small --timeout=60s");
    });
  });

  test("a node is drained, and the budget of its pods is kept", async () => {
    const { ok, shows } = await space("calm");
    await ok("apply -f -", workload("Deployment", "calm", { replicas: 2 }, {}));
    await ok("rollout status deployment/calm --timeout=60s");
    await ok("create poddisruptionbudget calm --selector=app=calm --min-available=2");
    await shows("get pdb calm", /^calm +2 +N\/A +0 /m);
    const [first = ""] = (await ok("get pods -o jsonpath={.items[*].spec.nodeName}")).split(" ");
    const drain = `drain ${first} --ignore-daemonsets --force --pod-selector=app=calm`;
    const { code, err } = await kubectlOf(`${drain} --timeout=4s`);
    assert.notEqual(code, 0);
    assert.match(err, /Cannot evict pod as it would violate the pod's disruption budget/);
    await ok("scale deployment calm --replicas=4");
    await ok("rollout status deployment/calm --timeout=60s");
    await ok(`${drain} --timeout=60s`);
    await ok("rollout status deployment/calm --timeout=60s");
    const nodes = await ok("get pods -o jsonpath={.items[*].spec.nodeName}");
    assert.ok(!nodes.split(" ").includes(first), nodes);
    await ok(`uncordon ${first}`);
  });

  test("a node dies with its pods' processes: they run elsewhere", async () => {
    const { ok, shows } = await space("lost");
    await ok("apply -f -", workload("Deployment", "web", { replicas: 3 }, {}));
    await ok("rollout status deployment/web --timeout=60s");
    const victim = cluster.endpoints.nodes.find(({ name }) => name === "node-1");
    assert.ok(victim?.pid);
    process.kill(victim.pid, "SIGKILL");
    await until("the node's process to be gone", async () => !isAlive(victim.pid ?? 0));
    await shows("get node node-1", /NotReady/);
    await shows("get deployment web", /^web +3\/3 /m);
    await shows(
      "get pods --field-selector=status.phase=Running,spec.nodeName!=node-1 -o name",
      /^(?:pod\/web-\S+\n){3}$/,
    );
  });

  const kubectlOf = (line: string) =>
    kubectl(cluster.endpoints.kubeconfig, ["-n", "calm", ...words(line)]);
});

/** `METADATA`: the finalizer of an object that is to be held. */
function words(line: string): string[] {
  const patch = '{"metadata":{"finalizers":["example.com/hold"]}}';
  return line.split(" ").map((word) => word.replace("METADATA", patch));
}

function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return false;
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
