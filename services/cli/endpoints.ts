/** `endpoints.json`: where everything of a running cluster is, for people and programs. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { directories } from "./layout.ts";

export interface Endpoints {
  /** `host:port` of the first balancer, for clients that take one address. */
  readonly grpc: string;
  /** Its port for etcd clients, with the certificate of an administrator. */
  readonly etcd: string;
  /** `host:port` of every balancer: a client that knows them all outlives each. */
  readonly grpcEndpoints: readonly string[];
  readonly etcdEndpoints: readonly string[];
  /** `host:port` of Kubernetes' REST API over HTTPS, and of all that serve it. */
  readonly https: string;
  readonly httpsEndpoints: readonly string[];
  /** An administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** PEM files of the cluster's CA and of an administrator's certificate. */
  readonly ca: string;
  readonly clientCert: string;
  readonly clientKey: string;
  readonly masters: readonly {
    readonly name: string;
    readonly pid: number | undefined;
    readonly grpc: string;
    readonly peer: string;
    /** For etcd clients, with the certificate of an administrator. */
    readonly etcd: string;
    /** Kubernetes' REST API. */
    readonly https: string;
    readonly leader: boolean;
  }[];
  readonly schedulers: readonly { readonly name: string; readonly pid: number | undefined }[];
  readonly controllerManagers: readonly {
    readonly name: string;
    readonly pid: number | undefined;
  }[];
  readonly nodes: readonly {
    readonly name: string;
    readonly pid: number | undefined;
    readonly kubeProxyPid: number | undefined;
  }[];
  /** The process of the hollow nodes, where there are any. */
  readonly hollow?: { readonly name: string; readonly pid: number | undefined };
  /** The ingress controller, where there is one, and its ports for HTTP without and with TLS. */
  readonly ingress?: {
    readonly name: string;
    readonly pid: number | undefined;
    readonly http: string;
    readonly https: string;
  };
  readonly balancers: readonly {
    readonly name: string;
    readonly pid: number | undefined;
    readonly grpc: string;
    readonly etcd: string;
    readonly https: string;
  }[];
  readonly supervisor: { readonly pid: number };
  /** Administrators may set faults into the masters, on their etcd ports. */
  readonly faults: boolean;
  /** How much of the cluster answers: masters that serve, nodes that are ready. */
  readonly serving: { readonly masters: number; readonly nodes: number };
  /** Everything has come up once since the start. */
  readonly ready: boolean;
}

/** `supervisor.json`: who runs the cluster of a data directory. */
export interface Lock {
  readonly pid: number;
}

/** Replaces the file in one step, so that a reader never sees half of it. */
export function writeJson(file: string, value: unknown, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  const next = `${file}.${process.pid}.tmp`;
  writeFileSync(next, `${JSON.stringify(value, null, 2)}\n`, { mode });
  renameSync(next, file);
}

/** Undefined when there is no such file; throws on one that cannot be read or parsed. */
export function readJson<T>(file: string): T | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StatusError(
      Code.failedPrecondition,
      `cannot read ${file}: ${(error as Error).message}`,
    );
  }
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new StatusError(Code.dataLoss, `${file} is not JSON: ${(error as Error).message}`);
  }
}

export function readEndpoints(dataDirectory: string): Endpoints {
  const endpoints = readJson<Endpoints>(directories(dataDirectory).endpoints);
  if (endpoints) return endpoints;
  throw new StatusError(
    Code.failedPrecondition,
    `no cluster has been started in ${dataDirectory}: run \`npm start\`, or name its ` +
      "directory with --data-dir",
  );
}

/** Whether a process of this pid runs and is one of ours (its command line names `trireme`'s main). */
export function isOurs(pid: number | undefined): boolean {
  if (pid === undefined || !exists(pid)) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("services/cli/main.ts");
  } catch {
    // Without /proc the pid alone has to do; with it, the process has just ended.
    return !existsSync("/proc/self");
  }
}

/**
 * Whether there is a process of this pid. A process that has been killed exists until the last of
 * its threads, and with it every socket, is gone and its parent has seen it. Pids below 2 are those
 * of no program of ours: to `kill` they mean several processes at once.
 */
export function exists(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 2) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // No such process, or not ours to signal.
  }
}
