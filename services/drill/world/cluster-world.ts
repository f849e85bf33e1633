/** A whole cluster under its supervisor: the one that is up, or a throw-away one. */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { isOurs, MemberRef, type ProcessRef, type Role, until, type World } from "./world.ts";

const command = join(dirname(dirname(dirname(import.meta.dirname))), "services/cli/main.ts");
const run = promisify(execFile);

interface Named {
  readonly name: string;
  readonly pid: number | undefined;
}

/** What of `endpoints.json` a drill needs. */
interface EndpointsFile {
  readonly grpcEndpoints: readonly string[];
  readonly etcdEndpoints: readonly string[];
  readonly httpsEndpoints: readonly string[];
  readonly ca: string;
  readonly clientCert: string;
  readonly clientKey: string;
  readonly masters: readonly (Named & { readonly etcd: string })[];
  readonly balancers: readonly Named[];
  readonly schedulers: readonly Named[];
  readonly controllerManagers: readonly Named[];
  readonly nodes: readonly (Named & { readonly kubeProxyPid: number | undefined })[];
  readonly supervisor: { readonly pid: number };
  readonly serving: { readonly masters: number; readonly nodes: number };
  readonly faults?: boolean;
  readonly ready: boolean;
}

/** Undefined: no cluster runs there. */
export function runningCluster(dataDirectory: string): EndpointsFile | undefined {
  const endpoints = readEndpoints(dataDirectory);
  return endpoints !== undefined && isOurs(endpoints.supervisor.pid) ? endpoints : undefined;
}

function readEndpoints(dataDirectory: string): EndpointsFile | undefined {
  try {
    return JSON.parse(readFileSync(join(dataDirectory, "endpoints.json"), "utf8"));
  } catch {
    return undefined; // There is no such file, so no cluster runs there.
  }
}

/** How long a member that was killed may take to serve again. */
const reviveMillisMax = 60_000;

export class ClusterWorld implements World {
  readonly kind = "cluster";
  readonly members: readonly MemberRef[];
  readonly faults: boolean;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly addresses: World["addresses"];
  readonly logs: World["logs"];
  readonly #directory: string;
  readonly #close: () => Promise<void>;

  constructor(directory: string, close: () => Promise<void> = async () => {}) {
    const endpoints = readEndpoints(directory);
    if (endpoints === undefined) throw new Error(`no cluster runs in ${directory}`);
    const pem = (file: string) => readFileSync(file, "utf8");
    const { ca, clientCert, clientKey } = endpoints;
    this.#directory = directory;
    this.#close = close;
    this.faults = endpoints.faults === true;
    this.tls = { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) };
    this.addresses = {
      api: endpoints.grpcEndpoints,
      etcd: endpoints.etcdEndpoints,
      rest: endpoints.httpsEndpoints,
    };
    const { masters, balancers, schedulers, controllerManagers, nodes } = endpoints;
    this.members = masters.map(
      ({ name, etcd }) =>
        new MemberRef(name, etcd, this.tls, () => this.#named(name, ({ masters: now }) => now)),
    );
    const all = [...masters, ...balancers, ...schedulers, ...controllerManagers, ...nodes];
    this.logs = all.map(({ name }) => ({ name, path: join(directory, "log", `${name}.log`) }));
  }

  /** Starts a cluster on free ports in a directory that goes with it. */
  static async start(nodes: number): Promise<ClusterWorld> {
    const directory = mkdtempSync(join(tmpdir(), "trireme-drill-"));
    const down = async () => {
      await run(process.execPath, [command, "down", "--data-dir", directory]);
      rmSync(directory, { recursive: true, force: true });
    };
    try {
      await up(directory, nodes);
      return new ClusterWorld(directory, down);
    } catch (thrown) {
      await down();
      throw thrown;
    }
  }

  processes(role: Role): readonly ProcessRef[] {
    if (role === "master") return this.members;
    const lists = {
      balancer: (now: EndpointsFile) => now.balancers,
      scheduler: (now: EndpointsFile) => now.schedulers,
      "controller-manager": (now: EndpointsFile) => now.controllerManagers,
      node: (now: EndpointsFile) => now.nodes,
    };
    const list = lists[role];
    const now = readEndpoints(this.#directory);
    return (now ? list(now) : []).map(({ name }) => ({
      name,
      pid: () => this.#named(name, list),
    }));
  }

  nodeProcesses(node: string): readonly ProcessRef[] {
    const proxy = (now: EndpointsFile) =>
      now.nodes.map(({ name, kubeProxyPid }) => ({ name, pid: kubeProxyPid }));
    return [
      { name: node, pid: () => this.#named(node, ({ nodes }) => nodes) },
      { name: `kube-proxy-${node}`, pid: () => this.#named(node, proxy) },
    ];
  }

  serves(): boolean {
    const now = readEndpoints(this.#directory);
    if (now === undefined) return false;
    const gone = [...now.masters, ...now.balancers, ...now.schedulers, ...now.controllerManagers];
    return now.serving.masters === now.masters.length && gone.every(({ pid }) => pid !== undefined);
  }

  async revive(member: MemberRef): Promise<void> {
    await until(
      `${member.name} to serve again`,
      async () => (await member.status())?.leader,
      reviveMillisMax,
    );
  }

  async close(): Promise<void> {
    for (const member of this.members) member.close();
    await this.#close();
  }

  #named(name: string, list: (now: EndpointsFile) => readonly Named[]): number | undefined {
    const now = readEndpoints(this.#directory);
    return now && list(now).find((each) => each.name === name)?.pid;
  }
}

/** A killed node comes back after the cluster has given it up. */
const nodeReturnSeconds = 26;
const portsFrom = 24_000;
const portsTo = 31_000;
const attemptsMax = 10;

/** Ports are chosen at random; where one of them is taken, others are. */
async function up(directory: string, nodes: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const port = String(randomInt(portsFrom, portsTo));
    const flags = ["--enable-faults", "--nodes", String(nodes)];
    flags.push("--node-return-seconds", String(nodeReturnSeconds));
    const args = ["up", "--detach", "--data-dir", directory, "--base-port", port, ...flags];
    try {
      await run(process.execPath, [command, ...args]);
      return;
    } catch (thrown) {
      const { stderr = "" } = thrown as { readonly stderr?: string };
      if (attempt < attemptsMax && /is in use/.test(stderr)) continue;
      throw new Error(
        `the cluster could not be started: ${stderr.trim() || (thrown as Error).message}`,
      );
    }
  }
}
