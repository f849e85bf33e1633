/** Three members of either kind on loopback, without TLS and with fsync, and what to ask them. */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { call, connect } from "../../../ha/rpc/mod.ts";
import { loadOrCreateIdentity } from "../../../ha/runtime/production/mod.ts";
import { KVClient, MaintenanceClient } from "../../../proto/gen/etcd.ts";
import { freePorts } from "../../ports.ts";
import type { Processes } from "./processes.ts";

const size = 3;
const startMillis = 30_000;
const callMillis = 10_000;
const root = dirname(dirname(dirname(import.meta.dirname)));

interface Member {
  readonly name: string;
  /** `host:port` of its etcd API. */
  readonly endpoint: string;
  readonly pid: number;
  readonly kv: KVClient;
  readonly maintenance: MaintenanceClient;
}

export class Cluster {
  readonly label: string;
  readonly members: readonly Member[];
  readonly #logs: string;

  constructor(
    label: string,
    logs: string,
    started: readonly { readonly name: string; readonly endpoint: string; readonly pid: number }[],
  ) {
    this.label = label;
    this.#logs = logs;
    this.members = started.map((member) => {
      const to = { addresses: [member.endpoint], reconnectMaxMillis: 100 };
      const kv = connect(KVClient, to);
      return { ...member, kv, maintenance: connect(MaintenanceClient, to) };
    });
  }

  get pids(): number[] {
    return this.members.map(({ pid }) => pid);
  }

  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  /** The member that leads, once all agree on one. */
  async leader(): Promise<Member> {
    const until = performance.now() + startMillis;
    let reason: unknown = "they do not agree";
    while (performance.now() < until) {
      try {
        const answers = await Promise.all(
          this.members.map(({ maintenance }) =>
            call(maintenance, "status", {}, { deadlineMillis: 1_000 }),
          ),
        );
        const leaders = new Set(answers.map(({ leader }) => leader ?? 0n));
        const [id = 0n] = leaders;
        const index = answers.findIndex(({ header }) => header?.memberId === id);
        const member = this.members[index];
        if (leaders.size === 1 && member !== undefined) return member;
      } catch (error) {
        reason = error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const logs = this.members.map(({ name }) => {
      return `${name}: ${readFileSync(join(this.#logs, `${name}.log`), "utf8").slice(-500)}`;
    });
    const said = logs.join("\n");
    throw new Error(`${this.label}: no leader in ${startMillis} ms: ${reason}\n${said}`);
  }

  /** The revision in the header of a linearizable read. */
  async revision(): Promise<number> {
    const { kv } = await this.leader();
    const request = { key: Buffer.of(0), countOnly: true };
    const { header } = await call(kv, "range", request, { deadlineMillis: callMillis });
    return Number(header?.revision ?? 0n);
  }

  async put(key: Buffer, value: Buffer): Promise<void> {
    const { kv } = await this.leader();
    await call(kv, "put", { key, value }, { deadlineMillis: callMillis });
  }

  /** Lets go of what is older than the revision. */
  async compact(revision: number): Promise<void> {
    const { kv } = await this.leader();
    await call(kv, "compact", { revision: BigInt(revision) }, { deadlineMillis: callMillis });
  }

  /** Throws unless every member answers a read of the key with one value. */
  async checkReads(key: Buffer): Promise<void> {
    for (const { kv, name } of this.members) {
      const { count } = await call(kv, "range", { key }, { deadlineMillis: callMillis });
      if (count !== 1n) throw new Error(`${this.label}: ${name} reads ${count} values, not 1`);
    }
  }

  async diskMegabytes(): Promise<number> {
    const { maintenance } = await this.leader();
    const { dbSize } = await call(maintenance, "status", {}, { deadlineMillis: callMillis });
    return Number(dbSize ?? 0n) / 1024 ** 2;
  }

  close(): void {
    for (const { kv, maintenance } of this.members) {
      kv.close();
      maintenance.close();
    }
  }
}

export async function startTrireme(processes: Processes, folder: string): Promise<Cluster> {
  mkdirSync(folder);
  const ports = await freePorts(2 * size);
  const planned = await Promise.all(
    Array.from({ length: size }, async (_, index) => {
      const keyFile = join(folder, `trireme-${index}.key`);
      const { identity } = await loadOrCreateIdentity(keyFile);
      const client = `127.0.0.1:${ports[2 * index]}`;
      const peer = `127.0.0.1:${ports[2 * index + 1]}`;
      return { name: `trireme-${index}`, client, peer, keyFile, identity };
    }),
  );
  const cluster = planned.map(({ name, peer, identity }) => `${name}=${peer}/${identity}`);
  const started = planned.map(({ name, client, peer, keyFile }) => {
    const args = [
      ...[join(root, "services/cli/main.ts"), "store", "--name", name],
      ...["--data-dir", join(folder, name), "--peer-key-file", keyFile],
      ...["--listen-client", client, "--listen-peer", peer, "--insecure-loopback"],
      ...["--initial-cluster", cluster.join(","), "--quota-bytes=-1"],
    ];
    const pid = processes.start(process.execPath, args, join(folder, `${name}.log`));
    return { name, endpoint: client, pid };
  });
  return new Cluster("trireme", folder, started);
}

export async function startEtcd(
  processes: Processes,
  program: string,
  folder: string,
): Promise<Cluster> {
  mkdirSync(folder);
  const ports = await freePorts(2 * size);
  const planned = Array.from({ length: size }, (_, index) => ({
    name: `etcd-${index}`,
    client: `127.0.0.1:${ports[2 * index]}`,
    peer: `http://127.0.0.1:${ports[2 * index + 1]}`,
  }));
  const cluster = planned.map(({ name, peer }) => `${name}=${peer}`);
  const started = planned.map(({ name, client, peer }) => {
    const args = [
      ...[`--name=${name}`, `--data-dir=${join(folder, name)}`, "--log-level=error"],
      ...[`--listen-client-urls=http://${client}`, `--advertise-client-urls=http://${client}`],
      ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
      ...[`--initial-cluster=${cluster.join(",")}`, `--quota-backend-bytes=${8 * 1024 ** 3}`],
    ];
    return {
      name,
      endpoint: client,
      pid: processes.start(program, args, join(folder, `${name}.log`)),
    };
  });
  return new Cluster("etcd", folder, started);
}
