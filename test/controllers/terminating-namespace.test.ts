/** In a namespace that is going away nothing can be made: every controller gives up there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { cronJobController } from "../../services/controllers/cron-job/controller.ts";
import { daemonSetController } from "../../services/controllers/daemon-set/controller.ts";
import { deploymentController } from "../../services/controllers/deployment/controller.ts";
import { endpointSliceController } from "../../services/controllers/endpoint-slice/controller.ts";
import { endpointSliceMirroringController } from "../../services/controllers/endpoint-slice/mirroring.ts";
import { endpointsController } from "../../services/controllers/endpoints.ts";
import { jobController } from "../../services/controllers/job/controller.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import { replicationController } from "../../services/controllers/replication-controller.ts";
import { rootCaPublisher } from "../../services/controllers/root-ca-publisher.ts";
import { serviceAccountController } from "../../services/controllers/service-account.ts";
import { statefulSetController } from "../../services/controllers/stateful-set/controller.ts";
import { ephemeralVolumeController } from "../../services/controllers/volumes/ephemeral.ts";
import { harness, node } from "./harness.ts";

const metadata = { name: "mine", namespace: "doomed" };
const labels = { app: "web" };
const selector = { matchLabels: labels };
const podSpec = { containers: [{ name: "c", image: "i" }] };
const template = { metadata: { labels }, spec: podSpec };
const jobSpec = { template: { spec: { ...podSpec, restartPolicy: "Never" } } };
const storage = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
const scratch = { name: "v", ephemeral: { volumeClaimTemplate: { spec: storage } } };

test("no controller goes on creating in a namespace that is going away", async () => {
  const { api, client, clock, end } = await harness(
    ...[cronJobController(1), daemonSetController(1), deploymentController(1)],
    ...[endpointSliceController(1), endpointSliceMirroringController(1), endpointsController(1)],
    ...[ephemeralVolumeController(1), jobController(1), replicaSetController(1)],
    ...[replicationController(1), rootCaPublisher("ca", 1), serviceAccountController(1)],
    statefulSetController(1),
  );
  let refused = true;
  const tried = new Map<string, number>();
  api.intercept = (verb, kind, { metadata: { name, namespace } = {} }) => {
    // The test's objects are called "mine", and so are the service's Endpoints.
    const ours = name === "mine" && kind !== "Endpoints";
    if (verb !== "create" || namespace !== "doomed" || ours || kind === "Event") return;
    if (refused) throw new StatusError(Code.unavailable, "not yet");
    tried.set(kind, (tried.get(kind) ?? 0) + 1);
  };
  await client.nodes.create(node("n1"));
  await client.namespaces.create({ metadata: { name: "doomed", finalizers: ["example.com/x"] } });
  await client.pods.create({ metadata, spec: { ...podSpec, volumes: [scratch] } });
  await client.services.create({ metadata, spec: { selector: labels, ports: [{ port: 80 }] } });
  await client.daemonSets.create({ metadata, spec: { selector, template } });
  await client.deployments.create({ metadata, spec: { selector, template } });
  await client.replicaSets.create({ metadata, spec: { selector, template } });
  await client.replicationControllers.create({ metadata, spec: { selector: labels, template } });
  const claims = [{ metadata: { name: "data" }, spec: storage }];
  const set = { selector, template, serviceName: "s", volumeClaimTemplates: claims };
  await client.statefulSets.create({ metadata, spec: set });
  await client.jobs.create({ metadata, spec: jobSpec });
  const cron = { schedule: "* * * * *", jobTemplate: { spec: jobSpec } };
  await client.cronJobs.create({ metadata, spec: cron });
  await clock.advance(60_000);
  await client.namespaces.delete("doomed");
  refused = false;
  await clock.advance(180_000);
  const kinds = [
    ...["ControllerRevision", "EndpointSlice", "Endpoints", "Job"],
    ...["PersistentVolumeClaim", "Pod", "ReplicaSet"],
  ];
  assert.deepEqual([...tried.keys()].sort(), kinds);
  tried.clear();
  await clock.advance(600_000);
  assert.deepEqual([...tried], []);
  await end();
});
