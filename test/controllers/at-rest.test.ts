/** Controllers write nothing while nothing changes, and write what they have to say once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { InformerFactory, type TriremeClient } from "../../services/client/mod.ts";
import { certificateApprover } from "../../services/controllers/certificates/approver.ts";
import { clusterRoleAggregation } from "../../services/controllers/clusterrole-aggregation.ts";
import { cronJobController } from "../../services/controllers/cron-job/controller.ts";
import { daemonSetController } from "../../services/controllers/daemon-set/controller.ts";
import { deploymentController } from "../../services/controllers/deployment/controller.ts";
import { disruptionController } from "../../services/controllers/disruption/controller.ts";
import { endpointSliceController } from "../../services/controllers/endpoint-slice/controller.ts";
import { endpointSliceMirroringController } from "../../services/controllers/endpoint-slice/mirroring.ts";
import { endpointsController } from "../../services/controllers/endpoints.ts";
import { garbageCollector } from "../../services/controllers/garbage-collector/controller.ts";
import { horizontalPodAutoscalerController } from "../../services/controllers/horizontal-pod-autoscaler/controller.ts";
import { jobController } from "../../services/controllers/job/controller.ts";
import { ControllerManager } from "../../services/controllers/manager.ts";
import { namespaceController } from "../../services/controllers/namespace/controller.ts";
import { nodeIpamController } from "../../services/controllers/node-ipam/controller.ts";
import { podGcController } from "../../services/controllers/pod-gc.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import { replicationController } from "../../services/controllers/replication-controller.ts";
import { resourceQuotaController } from "../../services/controllers/resource-quota/controller.ts";
import { rootCaPublisher } from "../../services/controllers/root-ca-publisher.ts";
import { serviceAccountController } from "../../services/controllers/service-account.ts";
import { serviceAddressController } from "../../services/controllers/service-addresses.ts";
import { statefulSetController } from "../../services/controllers/stateful-set/controller.ts";
import { ttlAfterFinishedController } from "../../services/controllers/ttl-after-finished.ts";
import type { Controller } from "../../services/controllers/types.ts";
import { attachDetachController } from "../../services/controllers/volumes/attach-detach.ts";
import { persistentVolumeController } from "../../services/controllers/volumes/controller.ts";
import { ephemeralVolumeController } from "../../services/controllers/volumes/ephemeral.ts";
import {
  claimProtectionController,
  volumeProtectionController,
} from "../../services/controllers/volumes/protection.ts";
import { quietLog } from "../client/quiet-log.ts";
import type { RealApi } from "../client/real-api.ts";
import { harness, node, runPods } from "./harness.ts";

const labels = (app: string) => ({ app });
const metadata = (name: string) => ({ name, namespace: "default" });
const requests = { cpu: "10m" };
const template = (app: string, spec: object = {}) => ({
  metadata: { labels: labels(app) },
  spec: { containers: [{ name: "c", image: "i", resources: { requests } }], ...spec },
});
const workload = (app: string, more: object = {}) => ({
  metadata: metadata(app),
  spec: { selector: { matchLabels: labels(app) }, template: template(app), ...more },
});
const once = (app: string) => template(app, { restartPolicy: "Never" });
const service = (app: string, more: object = {}) => ({
  metadata: metadata(app),
  spec: { selector: labels(app), ports: [{ port: 80 }], ...more },
});

const controllers = (): readonly Controller[] => [
  ...[deploymentController(2), replicaSetController(2), replicationController(1)],
  ...[statefulSetController(1), daemonSetController(1), jobController(1), cronJobController(1)],
  ...[disruptionController(1), endpointsController(1), endpointSliceController(1)],
  ...[endpointSliceMirroringController(1), garbageCollector(2), namespaceController(1)],
  ...[resourceQuotaController(1), rootCaPublisher("ca", 1), serviceAccountController(1)],
  ...[serviceAddressController(1), clusterRoleAggregation(1), certificateApprover(1)],
  ...[attachDetachController(1), claimProtectionController(1), volumeProtectionController(1)],
  persistentVolumeController({ root: "/volumes", workers: 1 }),
  nodeIpamController({ clusterCidr: "127.64.0.0/10", nodeMaskSize: 24 }),
  podGcController({ terminatedThreshold: 100, periodMillis: 20_000, quarantineMillis: 40_000 }),
  ...[ttlAfterFinishedController(1), ephemeralVolumeController(1)],
];

async function makeObjects(client: TriremeClient): Promise<void> {
  for (const name of ["n1", "n2"]) await client.nodes.create(node(name));
  await client.deployments.create(workload("web", { replicas: 3 }));
  await client.statefulSets.create(workload("db", { replicas: 2, serviceName: "db" }));
  await client.daemonSets.create(workload("agent"));
  await client.replicationControllers.create({
    metadata: metadata("old"),
    spec: { replicas: 1, selector: labels("old"), template: template("old") },
  });
  const job = { parallelism: 2, completions: 2, template: once("work") };
  await client.jobs.create({ metadata: metadata("work"), spec: job });
  await client.cronJobs.create({
    metadata: metadata("cron"),
    spec: { schedule: "0 0 1 1 *", jobTemplate: { spec: { template: once("cron") } } },
  });
  await client.services.create(service("web"));
  await client.services.create(service("db", { clusterIP: "None" }));
  await client.podDisruptionBudgets.create({
    metadata: metadata("web"),
    spec: { minAvailable: 2, selector: { matchLabels: labels("web") } },
  });
  const hard = { pods: "50", "requests.cpu": "4" };
  await client.resourceQuotas.create({ metadata: metadata("quota"), spec: { hard } });
  await client.persistentVolumeClaims.create({
    metadata: metadata("claim"),
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
}

/** A scheduler that minds nothing but a daemon's node. */
async function bindPods(api: RealApi, client: TriremeClient): Promise<void> {
  for (const { metadata: pod, spec } of api.all("Pod")) {
    if (spec?.nodeName !== undefined) continue;
    const { requiredDuringSchedulingIgnoredDuringExecution: required } =
      spec?.affinity?.nodeAffinity ?? {};
    const [fields] = required?.nodeSelectorTerms?.[0]?.matchFields ?? [];
    const { name = "", namespace = "" } = pod ?? {};
    await client.bind({ name, namespace }, fields?.values?.[0] ?? "n1");
  }
}

const told = (api: RealApi, from: number) =>
  api.written.slice(from).map(({ verb, kind, key }) => `${verb} ${kind} ${key}`);

/** All controllers, once the objects are as they were asked to be. */
async function atRest(...more: Controller[]) {
  const all = await harness(...controllers(), ...more);
  const { api, client, clock } = all;
  await makeObjects(client);
  for (let turn = 0; turn < 10; turn++) {
    await bindPods(api, client);
    runPods(api, () => clock.wallMillis());
    await clock.advance(1_000);
  }
  assert.equal(api.get("Deployment", "default/web")?.status?.readyReplicas, 3);
  assert.equal(api.get("DaemonSet", "default/agent")?.status?.numberReady, 2);
  await clock.advance(60_000);
  return all;
}

test("controllers write nothing while nothing changes, nor when another one takes over", async () => {
  const { api, client, clock, end } = await atRest();
  const before = api.written.length;
  await clock.advance(1_200_000);
  assert.deepEqual(told(api, before), []);
  const informers = new InformerFactory({ client, log: quietLog, clock });
  const next = { client, informers, controllers: controllers(), clock, log: quietLog };
  const [manager, leading] = [new ControllerManager(next), new AbortController()];
  informers.start(leading.signal);
  const lead = manager.lead(undefined, leading.signal);
  await clock.advance(60_000);
  assert.deepEqual(told(api, before), []);
  leading.abort();
  await Promise.all([lead, informers.ended()]);
  await end();
});

test("what fails over and over is told, and then told now and then", async () => {
  // No metrics are served here, so each look at the autoscaler fails.
  const hpa = horizontalPodAutoscalerController({ workers: 1, periodMillis: 15_000 });
  const { api, client, clock, end } = await atRest(hpa);
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  const spec = { scaleTargetRef, minReplicas: 1, maxReplicas: 5 };
  await client.horizontalPodAutoscalers.create({ metadata: metadata("web"), spec });
  await clock.advance(600_000);
  const before = api.written.length;
  await clock.advance(3_600_000);
  const events = told(api, before);
  assert.ok(events.length >= 11 && events.length <= 13, `${events.length} writes in an hour`);
  assert.ok(events.every((write) => write.startsWith("patch Event ")));
  await end();
});
