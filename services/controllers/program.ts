import { readFile } from "node:fs/promises";
import { isAbsolute, normalize } from "node:path";
import { metricsFlags } from "../../ha/runtime/production/metrics-server.ts";
import { program as define, type FlagValues } from "../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { defaultTimers, durationText } from "../../ha/runtime/timers.ts";
import { anyClientFlags, electionFlags, parseDuration, runElectedProgram } from "../client/mod.ts";
import { signingAuthority } from "../kinds/facts.ts";
import { tokenCleaner } from "./bootstrap-tokens/cleaner.ts";
import { bootstrapSigner } from "./bootstrap-tokens/signer.ts";
import { certificateApprover } from "./certificates/approver.ts";
import { certificateCleaner } from "./certificates/cleaner.ts";
import { certificateSigner } from "./certificates/signer.ts";
import { clusterRoleAggregation } from "./clusterrole-aggregation.ts";
import { cronJobController } from "./cron-job/controller.ts";
import { daemonSetController } from "./daemon-set/controller.ts";
import { deploymentController } from "./deployment/controller.ts";
import { disruptionController } from "./disruption/controller.ts";
import { endpointSliceController } from "./endpoint-slice/controller.ts";
import { endpointSliceMirroringController } from "./endpoint-slice/mirroring.ts";
import { endpointsController } from "./endpoints.ts";
import { garbageCollector } from "./garbage-collector/controller.ts";
import { horizontalPodAutoscalerController } from "./horizontal-pod-autoscaler/controller.ts";
import { jobController } from "./job/controller.ts";
import { ControllerManager } from "./manager.ts";
import { namespaceController } from "./namespace/controller.ts";
import { nodeIpamController } from "./node-ipam/controller.ts";
import { nodeLifecycleController } from "./node-lifecycle/controller.ts";
import { podGcController } from "./pod-gc.ts";
import { replicaSetController } from "./replica-set.ts";
import { replicationController } from "./replication-controller.ts";
import { resourceQuotaController } from "./resource-quota/controller.ts";
import { rootCaPublisher } from "./root-ca-publisher.ts";
import { serviceAccountController } from "./service-account.ts";
import { serviceAccountTokenController } from "./service-account-token/controller.ts";
import { serviceAddressController } from "./service-addresses.ts";
import { statefulSetController } from "./stateful-set/controller.ts";
import { ttlAfterFinishedController } from "./ttl-after-finished.ts";
import type { Controller } from "./types.ts";
import { attachDetachController } from "./volumes/attach-detach.ts";
import { persistentVolumeController } from "./volumes/controller.ts";
import { ephemeralVolumeController } from "./volumes/ephemeral.ts";
import { claimProtectionController, volumeProtectionController } from "./volumes/protection.ts";

const flags = {
  ...anyClientFlags,
  ...electionFlags,
  ...metricsFlags,
  "leader-elect-resource-name": {
    type: "string",
    default: "kube-controller-manager",
    help: "name of the Lease",
  },
  "node-monitor-grace-period": {
    type: "string",
    default: durationText(defaultTimers.nodeGrace),
    help: "a node silent for longer is marked unknown and tainted",
  },
  "node-monitor-period": {
    type: "string",
    default: durationText(defaultTimers.nodeMonitor),
    help: "pause between looks at a node",
  },
  "node-eviction-rate": {
    type: "number",
    default: 0.1,
    help: "lost nodes per second that are emptied while the cluster is healthy",
  },
  "secondary-node-eviction-rate": {
    type: "number",
    default: 0.01,
    help: "the same while many nodes are lost",
  },
  "large-cluster-size-threshold": {
    type: "number",
    default: 50,
    help: "zones of more nodes are emptied at the secondary rate, smaller ones not at all",
  },
  "unhealthy-zone-threshold": {
    type: "number",
    default: 0.55,
    help: "share of lost nodes from which the secondary rate applies",
  },
  "cluster-cidr": {
    type: "string",
    default: "127.64.0.0/10",
    help: "range of the pods' addresses, or one of IPv4, which kubelets use, and one of IPv6 behind it",
  },
  "node-cidr-mask-size": {
    type: "number",
    help: "prefix length of a node's range, where the cluster has one family of addresses",
  },
  "node-cidr-mask-size-ipv4": { type: "number", help: "that of its IPv4 range; default: 24" },
  "node-cidr-mask-size-ipv6": { type: "number", help: "that of its IPv6 range; default: 64" },
  "terminated-pod-gc-threshold": {
    type: "number",
    default: 12_500,
    help: "ended pods kept; 0 keeps all",
  },
  "concurrent-replicaset-syncs": { type: "number", default: 5, help: "replica sets at a time" },
  "concurrent-deployment-syncs": { type: "number", default: 5, help: "deployments at a time" },
  "concurrent-job-syncs": { type: "number", default: 5, help: "jobs at a time" },
  "concurrent-cron-job-syncs": { type: "number", default: 5, help: "cron jobs at a time" },
  "concurrent-ttl-after-finished-syncs": {
    type: "number",
    default: 5,
    help: "finished jobs at a time",
  },
  "concurrent-statefulset-syncs": { type: "number", default: 5, help: "stateful sets at a time" },
  "concurrent-daemonset-syncs": { type: "number", default: 2, help: "daemon sets at a time" },
  "concurrent-rc-syncs": { type: "number", default: 5, help: "replication controllers at a time" },
  "concurrent-horizontal-pod-autoscaler-syncs": {
    type: "number",
    default: 5,
    help: "autoscalers at a time",
  },
  "horizontal-pod-autoscaler-sync-period": {
    type: "string",
    default: "15s",
    help: "pause between looks at an autoscaler",
  },
  "concurrent-disruption-syncs": { type: "number", default: 5, help: "budgets at a time" },
  "volume-host-path-dir": {
    type: "string",
    default: "/var/lib/trireme/volumes",
    help: "directory of the nodes in which volumes of the class standard are made",
  },
  "concurrent-ephemeralvolume-syncs": {
    type: "number",
    default: 5,
    help: "pods whose ephemeral volumes get their claims at a time",
  },
  "concurrent-endpoint-syncs": { type: "number", default: 5, help: "services at a time" },
  "concurrent-service-endpoint-syncs": {
    type: "number",
    default: 5,
    help: "services whose slices are written at a time",
  },
  "mirroring-concurrent-service-endpoint-syncs": {
    type: "number",
    default: 5,
    help: "endpoints mirrored at a time",
  },
  "concurrent-resource-quota-syncs": { type: "number", default: 5, help: "quotas at a time" },
  "concurrent-namespace-syncs": { type: "number", default: 10, help: "namespaces at a time" },
  "root-ca-file": {
    type: "string",
    help: "CA certificate in PEM that is published in every namespace; absent: none is",
  },
  "service-account-private-key-file": {
    type: "string",
    help: "private key in PEM that signs the tokens in secrets; absent: secrets are not filled",
  },
  "concurrent-serviceaccount-token-syncs": {
    type: "number",
    default: 5,
    help: "secrets at a time",
  },
  "cluster-signing-cert-file": {
    type: "string",
    help: "CA certificate in PEM that signs certificate requests; absent: none are signed",
  },
  "cluster-signing-key-file": { type: "string", help: "its private key in PEM" },
  "cluster-signing-duration": {
    type: "string",
    default: "8760h",
    help: "life of a signed certificate, unless its request wants a shorter one",
  },
  "concurrent-gc-syncs": { type: "number", default: 20, help: "objects at a time" },
} as const;

interface NodeTimes {
  readonly graceMillis: number;
  readonly periodMillis: number;
}

/** Throws a StatusError that names the flag. */
function nodeTimes(values: FlagValues<typeof flags>): NodeTimes {
  const graceMillis = parseDuration(
    values["node-monitor-grace-period"],
    "--node-monitor-grace-period",
  );
  const periodMillis = parseDuration(values["node-monitor-period"], "--node-monitor-period");
  if (periodMillis <= 0 || periodMillis >= graceMillis) {
    throw new StatusError(
      Code.invalidArgument,
      `--node-monitor-period (${periodMillis} ms) must be above 0 and below ` +
        `--node-monitor-grace-period (${graceMillis} ms)`,
    );
  }
  return { graceMillis, periodMillis };
}

async function controllersByFlags(
  values: FlagValues<typeof flags>,
  nodes: NodeTimes,
): Promise<readonly Controller[]> {
  const rootCa = await readPem("root-ca-file", values["root-ca-file"]);
  const keyFlag = "service-account-private-key-file";
  const privateKey = await readPem(keyFlag, values[keyFlag]);
  const signing = await signingOptions(values);
  return [
    nodeIpamController({
      clusterCidr: values["cluster-cidr"],
      nodeMaskSize: values["node-cidr-mask-size"],
      nodeMaskSizeIPv4: values["node-cidr-mask-size-ipv4"],
      nodeMaskSizeIPv6: values["node-cidr-mask-size-ipv6"],
    }),
    nodeLifecycleController({
      ...nodes,
      rate: values["node-eviction-rate"],
      secondaryRate: values["secondary-node-eviction-rate"],
      largeZone: values["large-cluster-size-threshold"],
      unhealthyThreshold: values["unhealthy-zone-threshold"],
    }),
    deploymentController(values["concurrent-deployment-syncs"]),
    replicaSetController(values["concurrent-replicaset-syncs"]),
    jobController(values["concurrent-job-syncs"]),
    cronJobController(values["concurrent-cron-job-syncs"]),
    ttlAfterFinishedController(values["concurrent-ttl-after-finished-syncs"]),
    statefulSetController(values["concurrent-statefulset-syncs"]),
    daemonSetController(values["concurrent-daemonset-syncs"]),
    replicationController(values["concurrent-rc-syncs"]),
    horizontalPodAutoscalerController({
      workers: values["concurrent-horizontal-pod-autoscaler-syncs"],
      periodMillis: autoscalerPeriod(values["horizontal-pod-autoscaler-sync-period"]),
    }),
    disruptionController(values["concurrent-disruption-syncs"]),
    persistentVolumeController({ root: volumeRoot(values["volume-host-path-dir"]), workers: 5 }),
    ephemeralVolumeController(values["concurrent-ephemeralvolume-syncs"]),
    attachDetachController(5),
    claimProtectionController(1),
    volumeProtectionController(1),
    endpointsController(values["concurrent-endpoint-syncs"]),
    endpointSliceController(values["concurrent-service-endpoint-syncs"]),
    endpointSliceMirroringController(values["mirroring-concurrent-service-endpoint-syncs"]),
    namespaceController(values["concurrent-namespace-syncs"]),
    resourceQuotaController(values["concurrent-resource-quota-syncs"]),
    garbageCollector(values["concurrent-gc-syncs"]),
    clusterRoleAggregation(1),
    serviceAccountController(1),
    serviceAddressController(2),
    bootstrapSigner(1),
    tokenCleaner(1),
    certificateApprover(5),
    certificateCleaner(1),
    ...(signing === undefined ? [] : [certificateSigner({ ...signing, workers: 5 })]),
    ...(rootCa === undefined ? [] : [rootCaPublisher(rootCa, 1)]),
    ...(privateKey === undefined
      ? []
      : [
          serviceAccountTokenController({
            ...{ privateKey, rootCa },
            workers: values["concurrent-serviceaccount-token-syncs"],
          }),
        ]),
    podGcController({
      terminatedThreshold: values["terminated-pod-gc-threshold"],
      periodMillis: 20_000,
      quarantineMillis: 40_000,
    }),
  ];
}

function autoscalerPeriod(text: string): number {
  const flag = "--horizontal-pod-autoscaler-sync-period";
  const millis = parseDuration(text, flag);
  if (millis >= 1_000) return millis;
  throw new StatusError(Code.invalidArgument, `${flag} ${text}: must be 1s or more`);
}

const signingMillisMin = 600_000;

async function signingOptions(values: FlagValues<typeof flags>) {
  const [certFlag, keyFlag] = ["cluster-signing-cert-file", "cluster-signing-key-file"] as const;
  const cert = await readPem(certFlag, values[certFlag]);
  const key = await readPem(keyFlag, values[keyFlag]);
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    const text = `--${certFlag} and --${keyFlag} are given together or not at all`;
    throw new StatusError(Code.invalidArgument, text);
  }
  const durationFlag = "cluster-signing-duration";
  const durationMillis = parseDuration(values[durationFlag], `--${durationFlag}`);
  if (durationMillis < signingMillisMin) {
    const text = `--${durationFlag} ${values[durationFlag]}: must be 10m or more`;
    throw new StatusError(Code.invalidArgument, text);
  }
  try {
    return { authority: signingAuthority(cert, key), durationMillis };
  } catch (error) {
    const text = `--${certFlag}, --${keyFlag}: ${(error as Error).message}`;
    throw new StatusError(Code.invalidArgument, text, undefined, { cause: error });
  }
}

function volumeRoot(path: string): string {
  if (isAbsolute(path) && normalize(path) !== "/") return normalize(path).replace(/\/$/, "");
  const text = `--volume-host-path-dir: ${path} must be an absolute path below /`;
  throw new StatusError(Code.invalidArgument, text);
}

async function readPem(flag: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const text = `--${flag}: ${file} cannot be read: ${(error as Error).message}`;
    throw new StatusError(Code.invalidArgument, text, undefined, { cause: error });
  }
}

export const program = define({
  name: "controller-manager",
  summary: "runs the control loops that keep the cluster as it was asked to be",
  flags,
  async start(values, log, tracing) {
    const nodes = nodeTimes(values);
    const controllers = await controllersByFlags(values, nodes);
    const identity = "kube-controller-manager";
    return runElectedProgram({
      tracer: tracing?.tracer,
      values,
      identity,
      program: "controller-manager",
      timers: { nodeGrace: nodes.graceMillis, nodeMonitor: nodes.periodMillis },
      log,
      make: (context) => new ControllerManager({ ...context, controllers }),
    });
  },
});
