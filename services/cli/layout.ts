/** Where the parts of a local cluster live: directories below the data directory, ports from a base. */
import { readFileSync, statfsSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { parseQuantity } from "../kinds/mod.ts";

export interface ClusterShape {
  readonly dataDirectory: string;
  readonly basePort: number;
  readonly masters: number;
  readonly nodes: number;
  /** Nodes that one process stands in for; absent: none. */
  readonly hollow?: number;
  /** Whether an ingress controller runs. */
  readonly ingress?: boolean;
  /** Absolute; absent: pods of hollow nodes start at once, and run until they are deleted. */
  readonly hollowStages?: string | undefined;
  /** Quantities that each node claims; absent: an equal share of the machine. */
  readonly nodeCapacity?: Partial<NodeCapacity> | undefined;
  /** Absolute; absent: images are names alone. */
  readonly imageRoot?: string | undefined;
  /** NAME=COMMAND: images that stand for programs of the machine. */
  readonly imageMap?: readonly string[] | undefined;
  /** Absolute; absent: the masters keep no audit log. */
  readonly auditPolicyFile?: string | undefined;
  /** Absolute; absent: the masters store everything as it is. */
  readonly encryptionConfigFile?: string | undefined;
}

export interface NodeCapacity {
  readonly cpu: string;
  readonly memory: string;
  readonly "ephemeral-storage": string;
}

/**
 * What one of `nodes` nodes claims, so that all of them claim the machine once. `directory` lies on
 * the file system that the nodes share.
 */
export function shareOfMachine(nodes: number, directory: string): NodeCapacity {
  const count = Math.max(1, nodes);
  const share = (bytes: number) => `${Math.floor(bytes / 1024 / count)}Ki`;
  const disk = statfsSync(directory);
  return {
    cpu: `${Math.floor((cpus().length * 1000) / count)}m`,
    memory: share(totalmem()),
    "ephemeral-storage": share(disk.blocks * disk.bsize),
  };
}

const capacityNames = ["cpu", "memory", "ephemeral-storage"] as const;

/** `cpu=4,memory=8Gi`; what is left out is the share of the machine. Throws StatusError. */
export function parseNodeCapacity(text: string): Partial<NodeCapacity> {
  const given: Partial<Record<keyof NodeCapacity, string>> = {};
  for (const part of text.split(",")) {
    const [word = "", amount = ""] = part.split("=");
    const name = capacityNames.find((one) => one === word);
    const nanos = parseQuantity(amount)?.nanos;
    if (name === undefined || nanos === undefined || nanos <= 0n) {
      throw new StatusError(
        Code.invalidArgument,
        `--node-capacity ${text}: "${part}" is not one of ${capacityNames.join(", ")} with a ` +
          "positive quantity",
      );
    }
    given[name] = amount;
  }
  return given;
}

export const defaultBasePort = 7443;

/**
 * An ingress controller at -3 and -2, the bridge at -1, balancers at the base and +1, their etcd ports at +2 and +3; masters' gRPC
 * ports from +10, their peer ports from +20, their etcd ports from +30, kubelets from +40. The ports of Kubernetes' REST
 * API lie below the base: balancers' from -1000, masters' from -990; the ports for metrics of the
 * processes that have no other follow from -980, those of kube-proxies from -970.
 */
const httpsBelow = 1000;
/** Clients know both, and go to the other one when one is gone. */
export const balancerCount = 2;
const mastersMax = 9;
const nodesMax = 50;
const hollowMax = 20_000;
const portsUsed = 40 + nodesMax;

export function checkShape(shape: ClusterShape): void {
  within("--base-port", shape.basePort, 1024 + httpsBelow, 65_535 - portsUsed);
  within("--masters", shape.masters, 1, mastersMax);
  within("--nodes", shape.nodes, 0, nodesMax);
  within("--hollow", shape.hollow ?? 0, 0, hollowMax);
  if (shape.masters % 2 === 0) {
    throw new StatusError(
      Code.invalidArgument,
      `--masters ${shape.masters}: an even number tolerates no more failures than one fewer; ` +
        "use 1, 3, 5, 7 or 9",
    );
  }
}

function within(flag: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw new StatusError(
    Code.invalidArgument,
    `${flag} ${value}: must be a whole number in ${low}..${high}`,
  );
}

export const host = "127.0.0.1";

export function ports(shape: ClusterShape) {
  const base = shape.basePort;
  return {
    balancer: (i: number) => ({
      grpc: base + i,
      etcd: base + balancerCount + i,
      https: base - httpsBelow + i,
    }),
    master: (i: number) => ({
      grpc: base + 10 + i,
      peer: base + 20 + i,
      etcd: base + 30 + i,
      https: base - httpsBelow + 10 + i,
    }),
    kubelet: (i: number) => base + 40 + i,
    /** Of the processes that have no other port for it. */
    metrics: {
      balancer: (i: number) => base - httpsBelow + 20 + i,
      scheduler: (i: number) => base - httpsBelow + 22 + i,
      controllerManager: (i: number) => base - httpsBelow + 24 + i,
      kubeProxy: (i: number) => base - httpsBelow + 30 + i,
    },
    /** The live page of the supervisor. */
    bridge: base - 1,
    /** Of the ingress controller. */
    ingress: { http: base - 3, https: base - 2 },
    all: (): number[] => [
      ...Array.from({ length: 2 * balancerCount }, (_, i) => base + i),
      ...Array.from({ length: balancerCount }, (_, i) => base - httpsBelow + i),
      ...Array.from({ length: shape.masters }, (_, i) => [
        base + 10 + i,
        base + 20 + i,
        base + 30 + i,
        base - httpsBelow + 10 + i,
      ]).flat(),
      ...Array.from({ length: shape.nodes }, (_, i) => base + 40 + i),
      ...Array.from({ length: 6 }, (_, i) => base - httpsBelow + 20 + i),
      ...Array.from({ length: shape.nodes }, (_, i) => base - httpsBelow + 30 + i),
      base - 1,
      ...(shape.ingress ? [base - 3, base - 2] : []),
    ],
  };
}

export function directories(dataDirectory: string) {
  return {
    endpoints: join(dataDirectory, "endpoints.json"),
    kubeconfig: join(dataDirectory, "kubeconfig"),
    bridge: join(dataDirectory, "bridge.json"),
    reports: join(dataDirectory, "reports"),
    lock: join(dataDirectory, "supervisor.json"),
    shape: join(dataDirectory, "cluster.json"),
    pki: join(dataDirectory, "pki"),
    logs: join(dataDirectory, "log"),
    journal: join(dataDirectory, "log", "journal.jsonl"),
    master: (name: string) => join(dataDirectory, name),
    node: (name: string) => join(dataDirectory, name),
  };
}

/** `master-0`, `master-1`, … */
export function memberNames(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
}

/**
 * Where the nodes serve the cluster's DNS: the tenth of the services' addresses, as is the custom.
 * Undefined: this system keeps its port 53 for privileged programs, and Trireme is none.
 */
export function clusterDnsAddress(shape: ClusterShape): string | undefined {
  if (!mayServeDns()) return undefined;
  const [base = ""] = addressRanges(shape).services.split("/");
  return base.replace(/\d+$/, (last) => String(Number(last) + 10));
}

const dnsPort = 53;

/** Whether this process may listen on a port as low as that of DNS. */
export function mayServeDns(): boolean {
  if (process.getuid?.() === 0) return true;
  try {
    const first = readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8");
    return dnsPort >= Number(first);
  } catch {
    // Not Linux.
    return false;
  }
}

/**
 * Loopback addresses of pods and services: a 64th part each of 127.64.0.0/10 and 127.32.0.0/12,
 * chosen by the base port, so that several clusters on one machine keep out of each other's way.
 */
export function addressRanges(shape: ClusterShape): {
  readonly pods: string;
  readonly services: string;
} {
  const part = (((shape.basePort - defaultBasePort) % 64) + 64) % 64;
  return {
    pods: `127.${64 + part}.0.0/16`,
    services: `127.${32 + (part >> 2)}.${(part & 3) * 64}.0/18`,
  };
}
