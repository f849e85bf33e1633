/**
 * Upstream's own kube-scheduler and kube-controller-manager, unmodified, on an apiserver in this
 * process with one node, in the place of Trireme's.
 */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, suite, test } from "node:test";
import { eventually } from "../patience.ts";
import { kubectl } from "./kubectl-process.ts";
import { needsByHand } from "./needs.ts";
import { type NodeWorld, nodeWorld } from "./node-world.ts";
import { startUpstream, type UpstreamComponent } from "./upstream-process.ts";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signingKey = privateKey.export({ type: "pkcs8", format: "pem" }) as string;

/** What upstream's components may log as errors, and why that is no fault of the apiserver. */
const excused: readonly { readonly line: RegExp; readonly why: string }[] = [
  {
    line: /"Unable to record event \(will not retry!\)" err="broadcaster already stopped"/,
    why: "the component is being stopped",
  },
  {
    line: /"Status after running PostFilter plugins for pod" .* pod="default\/db-0" status="not found"/,
    why: "1.34.1's plugin for devices asks after a PreFilter that an unbound volume has cut short",
  },
  {
    line: /resource_quota_controller.*Operation cannot be fulfilled on resourcequotas/,
    why: "admission counted the same quota meanwhile; the controller tries again",
  },
  {
    line: /horizontal\.go.*no metrics returned from resource metrics API/,
    why: "the pods have just started and have not been measured yet",
  },
];

const json = ["--kube-api-content-type=application/json"];
/** How the two are run: upstream's content type is protobuf, answered in JSON. */
const ways = [
  { way: "in JSON, with one identity for all controllers", flags: json, credentials: false },
  { way: "as upstream runs them: protobuf, an identity for each", flags: [], credentials: true },
] as const;

const program = needsByHand("kube-scheduler");
const needed = program.skip === false ? needsByHand("kube-controller-manager") : program;

for (const { way, flags, credentials } of ways) {
  suite(`upstream's scheduler and controllers, ${way}`, needed, () => {
    let node: NodeWorld;
    const components: UpstreamComponent[] = [];
    const run = (line: string, input?: string) =>
      kubectl(node.kubeconfig, line.split(" "), input === undefined ? {} : { input });
    const ok = async (line: string, input?: string): Promise<string> => {
      const { code, out, err } = await run(line, input);
      const logs = components.map(({ name, errors, tail }) => {
        return `--- ${name}\n${errors().join("\n")}\n${tail()}`;
      });
      assert.equal(
        code,
        0,
        `kubectl ${line}\n${out}\n${err}\n${code === 0 ? "" : logs.join("\n")}`,
      );
      return out;
    };
    const shows = (line: string, pattern: RegExp) =>
      eventually(`kubectl ${line} to show ${pattern}`, async () =>
        pattern.test((await run(line)).out),
      );

    before(async () => {
      const issuers = ["https://cluster.example.com"];
      node = await nodeWorld({ serviceAccounts: { signingKey, keys: [], issuers } });
      components.push(
        await startUpstream(node.world, "kube-scheduler", flags),
        await startUpstream(node.world, "kube-controller-manager", [
          ...flags,
          `--use-service-account-credentials=${credentials}`,
          "--horizontal-pod-autoscaler-sync-period=2s",
        ]),
      );
    });
    after(async () => {
      for (const each of components) await each[Symbol.asyncDispose]();
      await node?.[Symbol.asyncDispose]();
    });

    test("they are elected", async () => {
      await shows("get lease -n kube-system kube-scheduler", /^kube-scheduler +\S+_\S+/m);
      await shows(
        "get lease -n kube-system kube-controller-manager",
        /^kube-controller-manager +\S+_/m,
      );
    });

    test("a deployment rolls, and its service has endpoints", async () => {
      await ok("apply -f -", everyMinute);
      await ok("apply -f -", deployment("web", "A"));
      await ok("rollout status deployment/web --timeout=60s");
      await ok("expose deployment web --port=80");
      await ok("set env deployment/web A=B");
      await ok("rollout status deployment/web --timeout=60s");
      const addresses = (
        await ok(
          "get pods -l app=web --field-selector=status.phase=Running -o jsonpath={.items[*].status.podIP}",
        )
      ).split(" ");
      assert.ok(addresses.length >= 2);
      await shows(
        "get endpointslices -l kubernetes.io/service-name=web -o jsonpath={.items[*].endpoints[*].addresses[0]}",
        /^\S+ \S+$/,
      );
      await shows("get endpoints web", /:80,\S+:80/);
      assert.equal((await ok("get rs -l app=web -o name")).trim().split("\n").length, 2);
    });

    test("a job completes, a daemon set runs on the node", async () => {
      await ok("create job once --image=node -- node -e 0");
      await ok("wait --for=condition=Complete job/once --timeout=60s");
      await ok("apply -f -", daemonSet);
      await ok("rollout status daemonset/everywhere --timeout=60s");
    });

    test("a stateful set gets a volume for its claim", async () => {
      await ok("apply -f -", volume(`${node.directory}/volume`));
      await ok("apply -f -", statefulSet);
      await ok("rollout status statefulset/db --timeout=60s");
      assert.match(await ok("get pvc data-db-0"), /Bound +manual-0/);
      const held = "get pvc data-db-0 -o jsonpath={.metadata.finalizers}";
      assert.match(await ok(held), /pvc-protection/);
    });

    test("an autoscaler measures, a disruption budget and a quota count", async () => {
      await ok("autoscale deployment web --cpu-percent=80 --min=1 --max=3");
      const active = 'jsonpath={.status.conditions[?(@.type=="ScalingActive")].status}';
      await shows(`get hpa web -o ${active}`, /^True$/);
      await ok("delete hpa web");
      await ok("create poddisruptionbudget web --selector=app=web --min-available=1");
      await shows("get pdb web", /^web +1 +N\/A +1 /m);
      await ok("create quota few --hard=pods=40,configmaps=20");
      await shows("get quota few -o jsonpath={.status.used.pods}", /^[1-9]\d*$/);
    });

    test("a pod that fits nowhere says why, in upstream's words", async () => {
      await ok("apply -f -", tooLarge);
      await shows(
        "get events --field-selector=reason=FailedScheduling,involvedObject.name=large -o jsonpath={.items[0].message}",
        /^0\/1 nodes are available: 1 Insufficient cpu\./,
      );
      await ok("delete pod large");
    });

    test("a drained node is left, and taken again", async () => {
      await ok("delete pdb web");
      await ok("drain n1 --ignore-daemonsets --delete-emptydir-data --force --timeout=60s");
      await shows("get pods -l app=web --no-headers", /^(web-\S+ +0\/1 +Pending .*\n){2,3}$/);
      await ok("uncordon n1");
      await ok("rollout status deployment/web --timeout=60s");
    });

    test("what an owner leaves behind is collected, a namespace goes with all in it", async () => {
      await ok("delete deployment web");
      await shows("get rs,pods -l app=web -o name", /^$/);
      await ok("create namespace gone");
      await ok("-n gone create configmap one --from-literal=a=b");
      await ok("-n gone create deployment web --image=node -- sleep 1000");
      await ok("delete namespace gone --timeout=60s");
    });

    test("a cron job starts a job at its minute", async () => {
      await eventually("a job of the cron job", async () =>
        /^job.batch\/minutely-\d+$/m.test((await run("get jobs -o name")).out),
      );
      await ok("delete cronjob minutely");
    });

    test("their logs hold no error but those that are excused", () => {
      const lines = components
        .flatMap(({ name, errors }) => errors().map((line) => `${name}: ${line}`))
        .filter((line) => !excused.some((each) => each.line.test(line)));
      assert.deepEqual(lines, []);
    });
  });
}

const sleeps = `
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: node
        command: [sleep, "1000"]
        resources: {requests: {cpu: 10m}}`;

const deployment = (name: string, value: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  replicas: 2
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:${sleeps}
        env: [{name: A, value: ${value}}]
`;

const daemonSet = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec:${sleeps}
`;

const volume = (path: string) => `
apiVersion: v1
kind: PersistentVolume
metadata: {name: manual-0}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: manual
  hostPath: {path: ${path}, type: DirectoryOrCreate}
`;

const statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      storageClassName: manual
      resources: {requests: {storage: 1Gi}}
  template:
    metadata: {labels: {app: db}}
    spec:${sleeps}
        volumeMounts: [{name: data, mountPath: /data}]
`;

const tooLarge = `
apiVersion: v1
kind: Pod
metadata: {name: large}
spec:
  containers: [{name: main, image: node, command: [sleep, "1"], resources: {requests: {cpu: "10000"}}}]
`;

const everyMinute = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: minutely}
spec:
  schedule: "* * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: main, image: node, command: [node, -e, "0"]}]
`;
