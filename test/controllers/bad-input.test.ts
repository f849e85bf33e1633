/** What cannot be done is said where its author looks, and costs nothing while it stays so. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { cronJobController } from "../../services/controllers/cron-job/controller.ts";
import { daemonSetController } from "../../services/controllers/daemon-set/controller.ts";
import { deploymentController } from "../../services/controllers/deployment/controller.ts";
import { disruptionController } from "../../services/controllers/disruption/controller.ts";
import { jobController } from "../../services/controllers/job/controller.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import { resourceQuotaController } from "../../services/controllers/resource-quota/controller.ts";
import { statefulSetController } from "../../services/controllers/stateful-set/controller.ts";
import { persistentVolumeController } from "../../services/controllers/volumes/controller.ts";
import { deployment, harness, node, putPod, replicaSet } from "./harness.ts";

type World = Awaited<ReturnType<typeof harness>>;

suite("bad input", () => {
  let world: World;
  before(async () => {
    world = await harness(
      cronJobController(1),
      daemonSetController(1),
      deploymentController(1),
      disruptionController(1),
      jobController(1),
      persistentVolumeController({ root: "/volumes", workers: 1 }),
      replicaSetController(1),
      resourceQuotaController(1),
      statefulSetController(1),
    );
    await make(world);
    await world.clock.advance(5_000);
  });
  after(async () => {
    await world.end();
  });

  const rows: readonly [string, kind: string, reason: string, RegExp][] = [
    [
      "a schedule of a day that never comes",
      "CronJob",
      "InvalidSchedule",
      /^spec\.schedule: "0 0 31 2 \*" names a day that never comes$/,
    ],
    [
      "a claim of a class that is not there",
      "PersistentVolumeClaim",
      "ProvisioningFailed",
      /^storageclass\.storage\.k8s\.io "nope" not found$/,
    ],
    [
      "a claim of a volume that is too small",
      "PersistentVolumeClaim",
      "VolumeMismatch",
      /^Cannot bind to requested volume "small": requested PV is too small$/,
    ],
    [
      "a budget of pods that no workload counts",
      "PodDisruptionBudget",
      "UnmanagedPods",
      /^spec: the pods lonely have no controller .*; give minAvailable as a number$/,
    ],
    [
      "a quota that is exceeded already",
      "ReplicaSet",
      "FailedCreate",
      /exceeded quota: full, requested: pods=1, used: pods=1, limited: pods=0$/,
    ],
    [
      "the same for a pod of every node",
      "DaemonSet",
      "FailedCreate",
      /^Error creating: pods "every-\w+" is forbidden: exceeded quota: full/,
    ],
    [
      "the same for a numbered pod",
      "StatefulSet",
      "FailedCreate",
      /^create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: exceeded quota: full/,
    ],
    [
      "a job whose time was over when it began",
      "Job",
      "DeadlineExceeded",
      /^Job was active longer than specified deadline$/,
    ],
  ];
  for (const [title, kind, reason, words] of rows) {
    test(`${title}: an event says so`, () => {
      const found = world.api
        .all("Event")
        .filter((each) => each.involvedObject?.kind === kind && each.reason === reason);
      assert.ok(
        found.length > 0,
        JSON.stringify(world.api.all("Event").map((each) => each.reason)),
      );
      // Where names are made up anew, later messages are told together.
      const told = found.map(({ message = "" }) => message);
      assert.ok(
        told.some((message) => words.test(message)),
        told.join("; "),
      );
    });
  }

  test("conditions and phases say so, too", () => {
    const { api } = world;
    const set = api.get("ReplicaSet", "bounded/web")?.status?.conditions?.[0];
    assert.equal(`${set?.type} ${set?.status} ${set?.reason}`, "ReplicaFailure True FailedCreate");
    const budget = api.get("PodDisruptionBudget", "default/lonely")?.status?.conditions?.[0];
    assert.equal(`${budget?.status} ${budget?.reason}`, "False InsufficientPods");
    assert.equal(api.get("PersistentVolumeClaim", "default/classless")?.status?.phase, "Pending");
    assert.deepEqual(api.get("ResourceQuota", "bounded/full")?.status?.used, { pods: "1" });
    const job = api.get("Job", "default/late")?.status?.conditions?.map(({ type }) => type);
    assert.ok(job?.includes("Failed"));
  });

  test("a selector that does not match its template is refused by its field", async () => {
    const wrong = deployment(1);
    wrong.spec!.selector = { matchLabels: { app: "other" } };
    await assert.rejects(world.client.deployments.create(wrong), (thrown) => {
      assert.match(
        StatusError.from(thrown).message,
        /spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`/,
      );
      return true;
    });
  });

  test("none of it is done over and over", async () => {
    const { api, clock } = world;
    const before = api.written.length;
    await clock.advance(3_600_000);
    const writes = api.written.slice(before).map(({ verb, kind }) => `${verb} ${kind}`);
    // What a quota refuses is tried again, in the end once a minute, and told.
    const others = writes.filter((each) => !/Event$|create Pod$/.test(each));
    // The Deployment misses its deadline, once.
    assert.deepEqual(others, ["updateStatus Deployment"]);
    const [workloads, attempts] = [5, 70];
    const most = workloads * attempts * 2;
    assert.ok(writes.length <= most, `${writes.length} writes in an hour`);
  });
});

async function make({ client }: World): Promise<void> {
  const container = { name: "c", image: "i" };
  const template = { spec: { restartPolicy: "Never", containers: [container] } };
  const named = (name: string) => ({ name, namespace: "default" });
  await client.cronJobs.create({
    metadata: named("never"),
    spec: { schedule: "0 0 31 2 *", jobTemplate: { spec: { template } } },
  });
  const request = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } } };
  await client.persistentVolumeClaims.create({
    metadata: named("classless"),
    spec: { ...request, storageClassName: "nope" },
  });
  await client.persistentVolumes.create({
    metadata: { name: "small" },
    spec: {
      ...{ accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" } },
      hostPath: { path: "/small" },
    },
  });
  await client.persistentVolumeClaims.create({
    metadata: named("large"),
    spec: { ...request, storageClassName: "", volumeName: "small" },
  });
  await putPod(client, { metadata: { ...named("lonely"), labels: { app: "lonely" } } });
  await client.podDisruptionBudgets.create({
    metadata: named("lonely"),
    spec: { maxUnavailable: 1, selector: { matchLabels: { app: "lonely" } } },
  });
  await client.namespaces.create({ metadata: { name: "bounded" } });
  await putPod(client, { metadata: { name: "first", namespace: "bounded" } });
  await client.resourceQuotas.create({
    metadata: { name: "full", namespace: "bounded" },
    spec: { hard: { pods: "0" } },
  });
  const web = replicaSet(1);
  await client.replicaSets.create({ ...web, metadata: { name: "web", namespace: "bounded" } });
  const bounded = (name: string) => ({ name, namespace: "bounded" });
  const { selector, template: always } = web.spec ?? {};
  await client.nodes.create(node("n1"));
  await client.daemonSets.create({
    metadata: bounded("every"),
    spec: { selector, template: always },
  });
  await client.statefulSets.create({
    metadata: bounded("db"),
    spec: { serviceName: "db", selector, template: always },
  });
  await client.deployments.create({ ...deployment(2), metadata: bounded("rolled") });
  await client.jobs.create({ metadata: bounded("once"), spec: { template } });
  await client.jobs.create({
    metadata: named("late"),
    spec: { activeDeadlineSeconds: 1, template },
  });
}
