/** What this node says of itself: capacity, addresses, system, conditions. */
import { readFileSync, statfsSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import type {
  ContainerImage,
  Node,
  NodeCondition,
  NodeStatus,
  Taint,
} from "../../../proto/gen/core.ts";
import {
  bytes,
  cpuMillis,
  formatQuantity,
  parseQuantity,
  quantityFromMillis,
} from "../../kinds/facts.ts";
import type { Image } from "../runtime/types.ts";
import { listOf, type NodeIPs } from "./node-ips.ts";

export interface NodeOptions extends NodeIPs {
  readonly nodeName: string;
  readonly port: number;
  readonly maxPods: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  /** Quantities; absent: the machine's. Several nodes may share one machine. */
  readonly capacityCpu?: string | undefined;
  readonly capacityMemory?: string | undefined;
  /** Bytes that pods may keep on disk for as long as they live; absent: the node reports none. */
  readonly ephemeralStorageBytes?: number | undefined;
  /** Quantities kept from pods. */
  readonly reserved: Readonly<Record<string, string>>;
  readonly runtimeVersion: string;
  readonly kubeletVersion: string;
}

const architectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

function machineArchitecture(): string {
  return architectures[arch()] ?? arch();
}

interface NodeAmounts {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly ephemeralStorageBytes: number | undefined;
}

function nodeCapacity(options: NodeOptions): NodeAmounts {
  return {
    cpuMillis: options.capacityCpu ? cpuMillis(options.capacityCpu) : cpus().length * 1000,
    memoryBytes: options.capacityMemory ? bytes(options.capacityMemory) : totalmem(),
    ephemeralStorageBytes: options.ephemeralStorageBytes,
  };
}

export function nodeAllocatable(options: NodeOptions): NodeAmounts {
  const all = nodeCapacity(options);
  const { reserved } = options;
  const storage = all.ephemeralStorageBytes;
  return {
    cpuMillis: Math.max(0, all.cpuMillis - cpuMillis(reserved["cpu"])),
    memoryBytes: Math.max(0, all.memoryBytes - bytes(reserved["memory"])),
    ephemeralStorageBytes: storage && Math.max(0, storage - bytes(reserved["ephemeral-storage"])),
  };
}

/** The size in bytes of the file system that holds the directory (upstream's `nodefs`). */
export function fileSystemBytes(directory: string): number {
  const { blocks, bsize } = statfsSync(directory);
  return blocks * bsize;
}

/** In whole kibibytes, as the API writes it: what is reported is then equal to what is stored. */
function kibibytes(amount: number): string {
  const nanos = BigInt(Math.floor(amount / 1024)) * 1024n * 1_000_000_000n;
  return formatQuantity({ nanos, format: "binary" });
}

/** As the API writes them, by resource name. */
export function nodeResources(options: NodeOptions, amounts: NodeAmounts): Record<string, string> {
  const { cpuMillis: cpu, memoryBytes, ephemeralStorageBytes: storage } = amounts;
  return {
    cpu: formatQuantity(quantityFromMillis(cpu)),
    ...(storage !== undefined && { "ephemeral-storage": kibibytes(storage) }),
    memory: kibibytes(memoryBytes),
    pods: String(options.maxPods),
  };
}

/** The status without times that change by themselves: equal status means nothing to report. */
export function nodeStatus(
  options: NodeOptions,
  conditions: readonly NodeCondition[],
  images: readonly Image[],
): NodeStatus {
  return {
    capacity: nodeResources(options, nodeCapacity(options)),
    allocatable: nodeResources(options, nodeAllocatable(options)),
    conditions: [...conditions],
    images: reportedImages(images),
    addresses: [
      ...listOf(options).map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: options.nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: options.port } },
    nodeInfo: {
      machineID: line("/etc/machine-id"),
      systemUUID: line("/sys/class/dmi/id/product_uuid"),
      bootID: line("/proc/sys/kernel/random/boot_id"),
      kernelVersion: release(),
      osImage: osImage(),
      containerRuntimeVersion: options.runtimeVersion,
      kubeletVersion: options.kubeletVersion,
      kubeProxyVersion: options.kubeletVersion,
      operatingSystem: "linux",
      architecture: machineArchitecture(),
    },
  };
}

/** Upstream's nodeStatusMaxImages and MaxNamesPerImageInNodeStatus. */
const imagesMax = 50;
const namesMax = 5;

/** The largest images first, since those are worth most where they already are. */
function reportedImages(images: readonly Image[]): ContainerImage[] {
  return images
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes || (a.id < b.id ? -1 : 1))
    .slice(0, imagesMax)
    .map(({ names, sizeBytes }) => ({ names: names.slice(0, namesMax), sizeBytes }));
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not on this machine
  }
}

function line(path: string): string {
  return text(path).trim();
}

function osImage(): string {
  return /^PRETTY_NAME="?(.*?)"?$/m.exec(text("/etc/os-release"))?.[1] ?? "Linux";
}

/** The Node object as it is registered. */
export function nodeObject(options: NodeOptions): Node {
  const machine = machineArchitecture();
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: options.nodeName,
      labels: {
        "kubernetes.io/hostname": options.nodeName,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine,
        ...options.labels,
      },
    },
    spec: options.taints.length > 0 ? { taints: [...options.taints] } : {},
  };
}

/** `key=value,key2=`. Throws with the flag's name. */
export function parseLabels(value: string, flag: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const part of value.split(",").filter((one) => one !== "")) {
    const at = part.indexOf("=");
    if (at < 1) throw new Error(`${flag}: "${part}" is not key=value`);
    labels[part.slice(0, at)] = part.slice(at + 1);
  }
  return labels;
}

/** `key=value:Effect,key:Effect`. Throws with the flag's name. */
export function parseTaints(value: string, flag: string): Taint[] {
  return value
    .split(",")
    .filter((one) => one !== "")
    .map((part) => {
      const match = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(part);
      if (match === null) throw new Error(`${flag}: "${part}" is not key[=value]:effect`);
      const [, key, text, effect] = match;
      return text === undefined ? { key, effect } : { key, value: text, effect };
    });
}

const reservable = new Set(["cpu", "memory", "ephemeral-storage"]);

/** `cpu=500m,memory=1Gi,ephemeral-storage=1Gi`. Throws with the flag's name. */
export function parseReserved(value: string, flag: string): Record<string, string> {
  const reserved = parseLabels(value, flag);
  for (const [name, amount] of Object.entries(reserved)) {
    if (!reservable.has(name) || parseQuantity(amount) === undefined) {
      const names = [...reservable].join(", ");
      throw new Error(`${flag}: "${name}=${amount}" is not one of ${names} with a quantity`);
    }
  }
  return reserved;
}
