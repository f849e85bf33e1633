/** Three members of the store alone, for drills that need nothing above it. */
import { randomInt } from "node:crypto";
import { StoreCluster } from "../store-cluster.ts";
import { isFree } from "./free-ports.ts";
import { MemberRef, type ProcessRef, type Role, until, type World } from "./world.ts";

/** How long a member that was ended may take to serve again. */
const reviveMillisMax = 60_000;

export class StoreWorld implements World {
  readonly kind = "store";
  readonly faults = true;
  readonly tls = undefined;
  readonly cluster: StoreCluster;
  readonly members: readonly MemberRef[];
  readonly addresses: World["addresses"];
  readonly logs: World["logs"];

  private constructor(cluster: StoreCluster) {
    this.cluster = cluster;
    const { members } = cluster;
    this.members = members.map(
      (member) =>
        new MemberRef(member.name, member.address, undefined, () => {
          const { exitCode, signalCode, pid } = member.process;
          return exitCode === null && signalCode === null ? pid : undefined;
        }),
    );
    this.addresses = { api: [], rest: [], etcd: members.map(({ address }) => address) };
    this.logs = members.map(({ name }) => ({ name, path: cluster.logOf(name) }));
  }

  /** `basePort`: default, any free ones. */
  static async start(basePort?: number): Promise<StoreWorld> {
    const port = basePort ?? (await freeBasePort());
    return new StoreWorld(await StoreCluster.start(port, { faults: true }));
  }

  processes(role: Role): readonly ProcessRef[] {
    return role === "master" ? this.members : [];
  }

  nodeProcesses(): readonly ProcessRef[] {
    return [];
  }

  serves(): boolean {
    return true;
  }

  /** `flags` win over those with which it was started before. */
  async revive(member: MemberRef, flags: readonly string[] = []): Promise<void> {
    const stored = this.cluster.members.find(({ name }) => name === member.name);
    if (stored && member.pid() === undefined) this.cluster.restart(stored, flags);
    const serves = async () => (await member.status())?.leader;
    await until(`${member.name} to serve again`, serves, reviveMillisMax);
  }

  async close(): Promise<void> {
    for (const member of this.members) member.close();
    await this.cluster.close();
  }
}

/** Clients' ports from the base, peers' ten above. */
const offsets = [0, 1, 2, 10, 11, 12];
const portsFrom = 24_000;
const portsTo = 31_000;
const attemptsMax = 50;

export async function freeBasePort(): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const base = randomInt(portsFrom, portsTo);
    const free = await Promise.all(offsets.map((offset) => isFree(base + offset)));
    if (!free.includes(false)) return base;
  }
  throw new Error("no free ports on loopback for a store");
}
