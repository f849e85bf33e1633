/** The node agent as a program. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { ServerTls } from "../../ha/rpc/mod.ts";
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { program, type Running } from "../../ha/runtime/production/process.ts";
import { addProcessMetrics } from "../../ha/runtime/production/process-metrics.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { announceTimers, defaultTimers, durationText } from "../../ha/runtime/timers.ts";
import { clientFlags, connectByFlags, parseDuration } from "../client/mod.ts";
import { bytes, gitVersion } from "../kinds/facts.ts";
import { clientManager, manageCertificates, servingManager } from "./certificates.ts";
import { NodeDrivers } from "./csi/csi-node.ts";
import { CsiDrivers, parseSockets } from "./csi/drivers.ts";
import { CsiRegistry } from "./csi/registry.ts";
import { CsiVolumes } from "./csi/volumes.ts";
import {
  checkSettings,
  type EvictionSettings,
  evictionHardDefault,
  parseGracePeriods,
  parseReclaim,
  parseThresholds,
} from "./eviction/thresholds.ts";
import { imageGcDefaults, imageGcOf } from "./images.ts";
import { Kubelet } from "./kubelet.ts";
import { kubeletLimits } from "./limits.ts";
import { addKubeletMetrics } from "./metrics.ts";
import { measureMachine } from "./node/health.ts";
import { listOf, parseNodeIPs } from "./node/node-ips.ts";
import { fileSystemBytes, parseLabels, parseReserved, parseTaints } from "./node/node-status.ts";
import { groupsOf, parseGroups, type ShutdownGroup } from "./node/shutdown.ts";
import { parseUnsafeSysctls } from "./node/sysctls.ts";
import { chooseRuntime, runtimeFlags } from "./runtime-flags.ts";
import { KubeletPort } from "./serving.ts";

const drainMillis = 1_000;

const kubelet = program({
  name: "kubelet",
  summary: "runs the pods of one node",
  flags: {
    ...clientFlags,
    "node-name": { type: "string", help: "name of the node; same as --hostname-override" },
    "hostname-override": { type: "string", help: "name of the node, as upstream calls the flag" },
    "data-dir": { type: "string", help: "state directory; same as --root-dir" },
    "root-dir": { type: "string", help: "state directory, as upstream calls the flag" },
    "node-ip": {
      type: "string",
      default: "127.0.0.1",
      help:
        "address of the node, or one of each family, with a comma between; the first one's family " +
        "comes first in the addresses of pods too",
    },
    port: { type: "number", default: 0, help: "where the kubelet serves; 0: any free port" },
    "cert-dir": {
      type: "string",
      help: "where the kubelet keeps certificates that it asks the cluster for, and renews",
    },
    "bootstrap-token-file": {
      type: "string",
      help: "file of the bootstrap token that pays for the first certificate",
    },
    "tls-cert-file": { type: "string", help: "PEM file of the serving certificate" },
    "tls-private-key-file": { type: "string", help: "PEM file of the serving key" },
    "client-ca-file": { type: "string", help: "PEM file of the CA of callers' certificates" },
    "node-labels": { type: "string", default: "", help: "key=value,… added to the node" },
    "register-with-taints": { type: "string", default: "", help: "key=value:effect,…" },
    "max-pods": { type: "number", default: kubeletLimits.maxPods, help: "pods at a time" },
    "capacity-cpu": { type: "string", help: "quantity; default: all of the machine" },
    "capacity-memory": { type: "string", help: "quantity; default: all of the machine" },
    "capacity-ephemeral-storage": {
      type: "string",
      help: "quantity; default: all of the file system that holds the state directory",
    },
    "system-reserved": {
      type: "string",
      default: "",
      help: "cpu=…,memory=…,ephemeral-storage=… kept from pods",
    },
    "node-status-update-frequency": {
      type: "string",
      help: "longest pause between heartbeats; default, and at most: what the apiserver asks for",
    },
    "eviction-hard": {
      type: "string",
      default: evictionHardDefault,
      help: "when pods are evicted at once: SIGNAL<AMOUNT,…",
    },
    "eviction-soft": {
      type: "string",
      default: "",
      help: "when pods are evicted after a grace period: SIGNAL<AMOUNT,…",
    },
    "eviction-soft-grace-period": {
      type: "string",
      default: "",
      help: "how long a soft threshold is crossed before it counts: SIGNAL=DURATION,…",
    },
    "eviction-minimum-reclaim": {
      type: "string",
      default: "",
      help: "how much more than its threshold an eviction frees: SIGNAL=AMOUNT,…",
    },
    "eviction-max-pod-grace-period": {
      type: "number",
      default: 0,
      help: "seconds that a pod gets at most when a soft threshold evicts it",
    },
    "eviction-pressure-transition-period": {
      type: "string",
      default: durationText(kubeletLimits.pressureHoldMillis),
      help: "how long a pressure is reported after it was seen last",
    },
    "pod-manifest-path": {
      type: "string",
      help: "file with the manifest of a static pod, or directory of such files",
    },
    "file-check-frequency": {
      type: "string",
      default: "20s",
      help: "how often the manifests are looked at, where the machine tells of no change",
    },
    ...runtimeFlags,
    "image-gc-high-threshold": {
      type: "number",
      default: imageGcDefaults.highPercent,
      help: "percent of the disk in use from which images are removed; 100: never",
    },
    "image-gc-low-threshold": {
      type: "number",
      default: imageGcDefaults.lowPercent,
      help: "percent of the disk in use down to which images are removed",
    },
    "minimum-image-ttl-duration": {
      type: "string",
      default: durationText(imageGcDefaults.minimumAgeMillis),
      help: "an image that has been here for less is not removed",
    },
    "cluster-dns": {
      type: "string",
      default: "",
      help: "addresses of the cluster's DNS servers, separated by commas",
    },
    "cluster-domain": { type: "string", default: "cluster.local", help: "domain of the cluster" },
    "shutdown-grace-period": {
      type: "string",
      default: durationText(defaultTimers.kubeletShutdown),
      help: "stop all containers with the kubelet, within this; 0s: they run on",
    },
    "shutdown-grace-period-critical-pods": {
      type: "string",
      default: "0s",
      help: "the part of it that the system's pods get, after all others",
    },
    "shutdown-grace-period-by-pod-priority": {
      type: "string",
      default: "",
      help: "in place of both: PRIORITY=DURATION,… for pods of that priority and more",
    },
    "csi-socket": {
      type: "string",
      default: "",
      help: "CSI drivers of the node: DRIVER=PATH of its socket,…",
    },
    "allowed-unsafe-sysctls": {
      type: "string",
      default: "",
      help: "kernel parameters that pods may set beyond the safe ones; may end with *",
    },
  },
  async start(values, log, tracing): Promise<Running> {
    const nodeName = values["node-name"] ?? values["hostname-override"];
    const dataDir = values["data-dir"] ?? values["root-dir"];
    if (nodeName === undefined) throw missing("node-name");
    if (dataDir === undefined) throw missing("data-dir");
    const nodeIPs = parseNodeIPs(values["node-ip"], "--node-ip");
    const shutdown = shutdownOf(values);
    const shutdownMillis = shutdown.reduce((sum, { graceMillis }) => sum + graceMillis, 0);
    const allowedUnsafeSysctls = parseUnsafeSysctls(
      values["allowed-unsafe-sysctls"],
      "--allowed-unsafe-sysctls",
    );
    const eviction = evictionOf(values);
    const ttl = "minimum-image-ttl-duration";
    const imageGc = imageGcOf(values, parseDuration(values[ttl], `--${ttl}`));
    const sockets = parseSockets(values["csi-socket"], "--csi-socket");
    const managed = await manageCertificates(values, nodeName, log);
    const tls = managed === undefined ? await servingTls(values) : undefined;
    const pair = managed && {
      "client-certificate": managed.clientFile,
      "client-key": managed.clientFile,
    };
    const connection = { ...values, ...pair };
    const client = await connectByFlags(connection, `kubelet-${nodeName}`, log, {
      program: "kubelet",
      tracer: tracing?.tracer,
    });
    const root = resolve(dataDir);
    const runtime = chooseRuntime(values, root, log);
    await runtime.load();
    const drivers = new CsiDrivers(sockets);
    const nodeDrivers = new NodeDrivers(client, nodeName, productionClock);
    const registry = new CsiRegistry({
      ...{ directory: join(root, "plugins_registry"), drivers, clock: productionClock, log },
      added: (driver, info) => nodeDrivers.add(driver, info),
      removed: (driver) => nodeDrivers.remove(driver),
    });
    let agent: Kubelet | undefined;
    const source = {
      runtime,
      nodeName,
      pod: (space: string, name: string) => agent?.pod(space, name),
      pods: () => agent?.pods() ?? [],
      stats: () => agent?.stats(),
      cpuMillisTotal: () => agent?.cpuMillisTotal() ?? 0,
      machine: () => measureMachine(root),
      configuration: {
        address: nodeIPs.nodeIP,
        maxPods: values["max-pods"],
        clusterDNS: values["cluster-dns"].split(",").filter((address) => address !== ""),
        clusterDomain: values["cluster-domain"],
        staticPodPath: values["pod-manifest-path"] ?? "",
        fileCheckFrequency: values["file-check-frequency"],
        evictionPressureTransitionPeriod: values["eviction-pressure-transition-period"],
        shutdownGracePeriod: values["shutdown-grace-period"],
      },
    };
    const heartbeatMillis = heartbeatInterval(values["node-status-update-frequency"]);
    const own = {
      kubeletShutdown: shutdownMillis,
      ...(heartbeatMillis !== undefined && { nodeHeartbeat: heartbeatMillis }),
    };
    announceTimers("kubelet", own, { log, metrics: processMetrics });
    addKubeletMetrics(source);
    const endMeasuring = addProcessMetrics(processMetrics);
    const served = new KubeletPort(source, listOf(nodeIPs), log);
    // A certificate for the node's names is signed only once the node has told them.
    const port = managed === undefined ? await served.listen(values.port, tls) : values.port;
    agent = new Kubelet({
      client,
      runtime,
      clock: productionClock,
      random: Math.random,
      log,
      dataDir: root,
      heartbeatMillis,
      eviction,
      imageGc,
      manifests: manifestsOf(values),
      allowedUnsafeSysctls,
      csi: new CsiVolumes(drivers, root),
      dns: {
        servers: values["cluster-dns"].split(",").filter((address) => address !== ""),
        domain: values["cluster-domain"],
      },
      node: {
        nodeName,
        ...nodeIPs,
        port,
        maxPods: values["max-pods"],
        labels: parseLabels(values["node-labels"], "--node-labels"),
        taints: parseTaints(values["register-with-taints"], "--register-with-taints"),
        capacityCpu: values["capacity-cpu"],
        capacityMemory: values["capacity-memory"],
        ephemeralStorageBytes: values["capacity-ephemeral-storage"]
          ? bytes(values["capacity-ephemeral-storage"])
          : fileSystemBytes(root),
        reserved: parseReserved(values["system-reserved"], "--system-reserved"),
        runtimeVersion: `${runtime.name}://${runtime.version}`,
        kubeletVersion: gitVersion(),
      },
    });
    const running = agent;
    // Registration waits for the API; being stopped meanwhile must work.
    const failed = (error: unknown) => {
      log.error("the kubelet could not start its work", { error });
      process.exitCode = 1;
      process.kill(process.pid, "SIGTERM");
    };
    const begun = async () => {
      await running.start();
      // Drivers are told of in objects of this node, which is registered now.
      await registry.start();
    };
    begun().catch(failed);
    const stopping = new AbortController();
    if (managed !== undefined) {
      const clientCa = await clientCaOf(values, managed.ca);
      const parts = { nodeName, nodeIPs, client, log };
      const serving = servingManager(managed, {
        ...parts,
        changed: (renewed) => served.renewTls({ ...renewed, clientCa }),
      });
      const serve = async () => {
        const first = await serving.obtain(stopping.signal);
        if (first === undefined) return;
        await served.listen(port, { ...first, clientCa });
        await serving.run(stopping.signal);
      };
      serve().catch(failed);
      clientManager(managed, parts).run(stopping.signal).catch(failed);
    }
    log.info("the kubelet serves", { node: nodeName, addresses: listOf(nodeIPs), port });
    return {
      async stop() {
        stopping.abort();
        registry.close();
        endMeasuring();
        await served.drain(drainMillis);
        await running.close(shutdown);
        client.close();
        drivers.close();
      },
    };
  },
});

export { kubelet as program };

/** Undefined: the apiserver's. Throws StatusError naming the flag and the limits. */
function heartbeatInterval(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const flag = "--node-status-update-frequency";
  const millis = parseDuration(value, flag);
  const { heartbeatMillisMin: low, heartbeatMillisMax: high } = kubeletLimits;
  if (millis >= low && millis <= high) return millis;
  throw new StatusError(
    Code.invalidArgument,
    `${flag} ${value}: must be between ${low} ms and ${high} ms`,
  );
}

/** Throws StatusError naming the flag. */
function evictionOf(values: {
  readonly "eviction-hard": string;
  readonly "eviction-soft": string;
  readonly "eviction-soft-grace-period": string;
  readonly "eviction-minimum-reclaim": string;
  readonly "eviction-max-pod-grace-period": number;
  readonly "eviction-pressure-transition-period": string;
}): EvictionSettings {
  const grace = "eviction-soft-grace-period";
  const transition = "eviction-pressure-transition-period";
  const reclaim = "eviction-minimum-reclaim";
  const settings: EvictionSettings = {
    hard: parseThresholds(values["eviction-hard"], "--eviction-hard"),
    soft: parseThresholds(values["eviction-soft"], "--eviction-soft"),
    softGraceMillis: parseGracePeriods(values[grace], `--${grace}`),
    minimumReclaim: parseReclaim(values[reclaim], `--${reclaim}`),
    maxPodGraceMillis: values["eviction-max-pod-grace-period"] * 1000,
    transitionMillis: parseDuration(values[transition], `--${transition}`),
  };
  checkSettings(settings);
  return settings;
}

/** Empty: the containers run on when the kubelet stops. Throws StatusError naming the flag. */
function shutdownOf(values: {
  readonly "shutdown-grace-period": string;
  readonly "shutdown-grace-period-critical-pods": string;
  readonly "shutdown-grace-period-by-pod-priority": string;
}): readonly ShutdownGroup[] {
  const byPriority = "shutdown-grace-period-by-pod-priority";
  const groups = parseGroups(values[byPriority], `--${byPriority}`);
  if (groups.length > 0) return groups;
  const total = parseDuration(values["shutdown-grace-period"], "--shutdown-grace-period");
  const critical = "shutdown-grace-period-critical-pods";
  const criticalMillis = parseDuration(values[critical], `--${critical}`);
  return total <= 0 && criticalMillis <= 0 ? [] : groupsOf(total, criticalMillis);
}

/** Undefined: the node has no static pods. */
function manifestsOf(values: {
  readonly "pod-manifest-path"?: string | undefined;
  readonly "file-check-frequency": string;
}): { readonly path: string; readonly checkMillis: number } | undefined {
  const flag = "--file-check-frequency";
  const checkMillis = parseDuration(values["file-check-frequency"], flag);
  if (checkMillis <= 0) throw new StatusError(Code.invalidArgument, `${flag} must be more than 0s`);
  const path = values["pod-manifest-path"];
  return path === undefined || path === "" ? undefined : { path: resolve(path), checkMillis };
}

function missing(flag: string): StatusError {
  return new StatusError(Code.invalidArgument, `flag --${flag} is required`);
}

/** Of the kubelet's callers; default: that of the cluster. */
async function clientCaOf(
  values: { readonly "client-ca-file": string | undefined },
  ca: string,
): Promise<string> {
  const file = values["client-ca-file"];
  if (file === undefined) return ca;
  return await readFile(file, "utf8").catch((error: unknown) => {
    throw new StatusError(Code.invalidArgument, `--client-ca-file: ${(error as Error).message}`);
  });
}

async function servingTls(values: {
  readonly "tls-cert-file"?: string | undefined;
  readonly "tls-private-key-file"?: string | undefined;
  readonly "client-ca-file"?: string | undefined;
}): Promise<ServerTls | undefined> {
  const names = ["tls-cert-file", "tls-private-key-file", "client-ca-file"] as const;
  const given = names.filter((name) => values[name] !== undefined);
  if (given.length === 0) return undefined;
  const [cert, key, clientCa] = await Promise.all(
    names.map((name) => {
      const path = values[name];
      if (path === undefined) {
        const all = names.map((one) => `--${one}`).join(", ");
        throw new StatusError(Code.invalidArgument, `${all} are given together or not at all`);
      }
      return readFile(path, "utf8").catch((error: unknown) => {
        throw new StatusError(Code.invalidArgument, `--${name}: ${(error as Error).message}`);
      });
    }),
  );
  if (cert === undefined || key === undefined || clientCa === undefined) return undefined;
  return { cert, key, clientCa };
}
