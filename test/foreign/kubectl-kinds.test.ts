/** The real kubectl and the kinds of workloads, storage and policy. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { kubeconfigFile } from "../rest/kubeconfig.ts";
import { kubectl } from "./kubectl-process.ts";
import { needs } from "./needs.ts";

const manifest = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: "postgres:16", volumeMounts: [{name: data, mountPath: /d}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {nodeSelector: {os: linux}, containers: [{name: agent, image: agent}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec:
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: old, image: old}]}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /data}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: sizes}
spec: {limits: [{type: Container, max: {cpu: 2}}]}
`;

suite("kubectl and workloads", needs("kubectl", "kubernetes-client"), () => {
  let world: RestWorld;
  let config: Awaited<ReturnType<typeof kubeconfigFile>>;

  before(async () => {
    world = await restWorld();
    config = await kubeconfigFile(world);
  });
  after(async () => {
    await config[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  const run = (line: string, more: readonly string[] = [], input = "") =>
    kubectl(config.file, [...line.split(" "), ...more], { input });
  const ok = async (line: string, more: readonly string[] = [], input = ""): Promise<string> => {
    const { code, out, err } = await run(line, more, input);
    assert.equal(code, 0, `kubectl ${line}\n${out}\n${err}`);
    return out;
  };
  const fails = async (line: string, words: RegExp, more: readonly string[] = []) => {
    const { code, out, err } = await run(line, more);
    assert.notEqual(code, 0, `kubectl ${line}\n${out}`);
    assert.match(err, words);
  };

  test("its generators make what the API takes", async () => {
    assert.equal(await ok("create job pi --image=perl -- perl -v"), "job.batch/pi created\n");
    await ok("create cronjob tick --image=busybox", ["--schedule=*/5 * * * *", "--", "date"]);
    await ok("create job once --from=cronjob/tick");
    await ok("create quota bounds --hard=pods=4,requests.cpu=2");
    await ok("create poddisruptionbudget calm --selector=app=web --min-available=1");
    await ok("create deployment web --image=nginx --replicas=2");
    await ok("autoscale deployment web --min=1 --max=3 --cpu-percent=50");
    assert.match(await ok("get cronjob"), /tick +\*\/5 \* \* \* \* +<none> +False +0 +<none>/);
    assert.match(await ok("get hpa"), /web +Deployment\/web +cpu: <unknown>\/50% +1 +3 +0/);
    assert.match(
      await ok("get job pi -o wide"),
      /Running +0\/1 .* +pi +perl +batch\.kubernetes\.io/,
    );
    assert.match(await ok("describe job pi"), /Completion Mode: +NonIndexed/);
    assert.match(await ok("get pdb"), /calm +1 +N\/A +0/);
    await fails(
      "create cronjob bad --image=busybox",
      /spec\.schedule: Invalid value: "\* \* \*": expected exactly 5 fields, found 3/,
      ["--schedule=* * *", "--", "date"],
    );
  });

  test("manifests are validated on both sides, applied, and shown", async () => {
    assert.match(await ok("apply -f -", [], manifest), /^statefulset\.apps\/db created$/m);
    assert.match(await ok("apply -f -", [], manifest), /^daemonset\.apps\/agent unchanged$/m);
    assert.match(await ok("get sts -o wide"), /^db +0\/3 +\d+s +db +postgres:16$/m);
    assert.match(await ok("get ds"), /^agent +0 +0 +0 +0 +0 +os=linux/m);
    assert.match(await ok("get rc"), /^old +1 +0 +0/m);
    assert.match(await ok("get pv"), /^disk +1Gi +RWO +Retain +Pending .*<unset>/m);
    assert.match(await ok("get pvc"), /^claim +Pending .*<unset>/m);
    assert.match(await ok("get limits"), /^sizes +20/m);
    assert.match(await ok("describe limits sizes"), /Container +cpu +- +2 +2 +2 +-/);
    const all = await ok("get all");
    for (const row of ["statefulset.apps/db", "daemonset.apps/agent", "cronjob.batch/tick"]) {
      assert.ok(all.includes(row), all);
    }
  });

  test("scale, set image, rollout restart, and what may not change", async () => {
    await ok("scale sts/db --replicas=5");
    await ok("scale rc/old --replicas=2");
    assert.equal(await ok("get sts db -o jsonpath={.spec.replicas}"), "5");
    await ok("set image sts/db db=postgres:17");
    await ok("rollout restart ds/agent");
    const generation = "{.metadata.annotations.deprecated\\.daemonset\\.template\\.generation}";
    assert.equal(await ok(`get ds agent -o jsonpath=${generation}`), "2");
    await fails(
      "patch sts db --type=merge",
      /^The StatefulSet "db" is invalid: spec: Forbidden: updates to statefulset spec for fields/,
      ["-p", '{"spec":{"serviceName":"x"}}'],
    );
    await fails(
      "patch job pi --type=merge",
      /^The Job "pi" is invalid: spec\.completions: Invalid value: 3: field is immutable/,
      ["-p", '{"spec":{"completions":3}}'],
    );
  });

  test("resources of a pod that waits are changed by its subresource", async () => {
    await ok("run waiting --image=nginx", [
      '--overrides={"spec":{"containers":[{"name":"waiting","image":"nginx","resources":' +
        '{"requests":{"cpu":"1"}}}]}}',
    ]);
    const patch =
      '{"spec":{"containers":[{"name":"waiting","resources":{"requests":{"cpu":"2"}}}]}}';
    await ok("patch pod waiting --subresource=resize", ["-p", patch]);
    const path = "{.spec.containers[0].resources.requests.cpu}";
    assert.equal(await ok(`get pod waiting -o jsonpath=${path}`), "2");
  });

  test("explain knows every field by a sentence", async () => {
    assert.match(await ok("explain job.spec.completionMode"), /Indexed: each pod has a number/);
    assert.match(await ok("explain hpa.spec.metrics --recursive"), /averageUtilization\t<integer>/);
    assert.match(
      await ok("explain sts.spec.volumeClaimTemplates"),
      /Claims made once for every pod/,
    );
  });

  test("delete leaves nothing behind", async () => {
    await ok("delete job,cronjob,hpa,pdb,quota --all");
    // What the controllers would do, which do not run here.
    const released = JSON.stringify({ metadata: { finalizers: null } });
    for (const held of ["pv disk", "pvc claim"]) {
      await ok(`patch ${held} --type merge -p`, [released]);
    }
    await ok("delete -f -", [], manifest);
    const { err } = await run("get sts,ds,rc,job,cronjob,pvc,hpa");
    assert.match(err, /No resources found in default namespace/);
  });
});
