/** Three members of the store alone, as processes on loopback, for drills. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { call, connect } from "../../ha/rpc/mod.ts";
import {
  KVClient,
  MaintenanceClient,
  type StatusResponse,
  WatchClient,
} from "../../proto/gen/etcd.ts";

const command = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");
const names = ["m0", "m1", "m2"] as const;

export interface StoreMember {
  readonly name: string;
  readonly address: string;
  readonly kv: KVClient;
  readonly maintenance: MaintenanceClient;
  readonly watch: WatchClient;
  process: ChildProcess;
}

interface StoreClusterOptions {
  /** Faults can be set into the members. */
  readonly faults?: boolean;
  /** Makes the members' data in the directory, before they start. */
  restore?(directory: string, initialCluster: string): Promise<void>;
}

export class StoreCluster {
  readonly members: readonly StoreMember[];
  readonly directory: string;
  /** `name=host:port/peerid,…`; without the id, of a member that was replaced. */
  initialCluster: string;
  /** With what each was started last. */
  readonly #args: (readonly string[])[];

  private constructor(
    directory: string,
    basePort: number,
    initialCluster: string,
    { faults = false }: StoreClusterOptions,
  ) {
    this.directory = directory;
    this.initialCluster = initialCluster;
    this.#args = names.map((name, i) => [
      ...["store", "--name", name, "--data-dir", join(directory, name), "--insecure-loopback"],
      ...["--listen-client", `127.0.0.1:${basePort + i}`],
      ...["--listen-peer", `127.0.0.1:${basePort + 10 + i}`],
      ...["--initial-cluster", initialCluster],
      ...["--peer-key-file", join(directory, "pki", `peer-${name}.key`)],
      ...(faults ? ["--enable-faults"] : []),
    ]);
    this.members = names.map((name, i) => {
      const address = `127.0.0.1:${basePort + i}`;
      const options = { addresses: [address], reconnectMaxMillis: 200 };
      return {
        name,
        address,
        kv: connect(KVClient, options),
        maintenance: connect(MaintenanceClient, options),
        watch: connect(WatchClient, options),
        process: this.#spawn(i),
      };
    });
  }

  static async start(basePort: number, options: StoreClusterOptions = {}): Promise<StoreCluster> {
    const directory = mkdtempSync(join(tmpdir(), "trireme-store-drill-"));
    const peers = names.map((_, i) => `127.0.0.1:${basePort + 10 + i}`).join(",");
    const { stdout } = await promisify(execFile)(process.execPath, [
      command,
      ...["certs", "--dir", join(directory, "pki"), "--masters", names.join(","), "--nodes", ""],
      ...["--peers", peers],
    ]);
    const initialCluster = /--initial-cluster (\S+)/.exec(stdout)?.[1] ?? "";
    await options.restore?.(directory, initialCluster);
    const cluster = new StoreCluster(directory, basePort, initialCluster, options);
    try {
      await cluster.leader();
    } catch (thrown) {
      await cluster.close();
      throw thrown;
    }
    return cluster;
  }

  #spawn(i: number): ChildProcess {
    const log = openSync(this.logOf(names[i] ?? ""), "a");
    const args = [command, ...(this.#args[i] ?? [])];
    // A group of its own: Ctrl-C is for the drill. By the pipe it notices that the drill is gone.
    const child = spawn(process.execPath, args, {
      detached: true,
      stdio: ["pipe", log, log],
      env: { ...process.env, TRIREME_SUPERVISED: "1" },
    });
    child.stdin?.on("error", () => {});
    closeSync(log);
    return child;
  }

  logOf(name: string): string {
    return join(this.directory, `${name}.log`);
  }

  /** `flags` win over those before, now and whenever it is started again. */
  restart(member: StoreMember, flags: readonly string[] = []): void {
    const i = this.members.indexOf(member);
    this.#args[i] = [...(this.#args[i] ?? []), ...flags];
    member.process = this.#spawn(i);
  }

  /** Waits until all members that answer agree on one. */
  async leader(): Promise<StoreMember> {
    const deadline = performance.now() + startMillisMax;
    while (performance.now() < deadline) {
      for (const member of this.members) {
        const status = await statusOf(member);
        if (status?.leader && status.leader === status.header?.memberId) return member;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`no leader after ${startMillisMax / 1000} s`);
  }

  /** Waits until all members hold the same, and answers their hashes. */
  async equalHashes(): Promise<readonly number[]> {
    const deadline = performance.now() + startMillisMax;
    for (;;) {
      const hashes = await Promise.all(this.members.map((member) => hashOf(member)));
      if (hashes.every((hash) => hash !== undefined) && new Set(hashes).size === 1) {
        return hashes as number[];
      }
      if (performance.now() > deadline) throw new Error(`the members differ: ${hashes.join(", ")}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async close(): Promise<void> {
    for (const { kv, maintenance, watch, process: child } of this.members) {
      for (const client of [kv, maintenance, watch]) client.close();
      child.kill("SIGCONT");
      child.kill("SIGKILL");
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A machine under load starts processes slowly. */
const startMillisMax = 60_000;
const answerMillisMax = 1_000;

/** Undefined while the member does not answer. */
async function statusOf({ maintenance }: StoreMember): Promise<StatusResponse | undefined> {
  try {
    return await call(maintenance, "status", {}, { deadlineMillis: answerMillisMax });
  } catch {
    return undefined; // The member is starting or was killed; the caller asks again.
  }
}

async function hashOf({ maintenance }: StoreMember): Promise<number | undefined> {
  try {
    const answer = await call(maintenance, "hashKv", {}, { deadlineMillis: answerMillisMax });
    return answer.hash;
  } catch {
    return undefined; // As above.
  }
}
