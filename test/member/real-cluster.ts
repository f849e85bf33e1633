/** Members on LevelDB and libp2p, on loopback, each on its own thread, as in production. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMemberWorker, type WorkerMemberOptions } from "../../ha/member/mod.ts";
import { createLog, loadOrCreateIdentity } from "../../ha/runtime/production/mod.ts";
import { freePorts } from "../ports.ts";

type OpenedMember = Awaited<ReturnType<typeof openMemberWorker>>;
export const silentLog = createLog({}, { level: "silent" });

export interface RealCluster {
  readonly directory: string;
  readonly options: readonly WorkerMemberOptions[];
  readonly members: OpenedMember[];
  close(): Promise<void>;
}

/** What the members of a new cluster are started with. */
export async function clusterOptions(
  directory: string,
  size: number,
  more: Partial<WorkerMemberOptions> = {},
): Promise<WorkerMemberOptions[]> {
  const ports = await freePorts(size);
  const cluster = await Promise.all(
    ports.map(async (port, i) => {
      const { identity } = await loadOrCreateIdentity(join(directory, `m${i}.key`));
      return { name: `m${i}`, address: `127.0.0.1:${port}`, identity };
    }),
  );
  return cluster.map(({ name, address }) => ({
    name,
    dataDirectory: join(directory, name),
    listen: { host: "127.0.0.1", port: Number(address.split(":")[1]) },
    keyFile: join(directory, `${name}.key`),
    cluster,
    log: silentLog,
    logLevel: "silent",
    ...more,
  }));
}

export async function openRealCluster(
  size: number,
  more: Partial<WorkerMemberOptions> = {},
): Promise<RealCluster> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-member-"));
  const options = await clusterOptions(directory, size, more);
  const members: OpenedMember[] = [];
  const close = async () => {
    await Promise.all(members.map((member) => member.close()));
    await rm(directory, { recursive: true });
  };
  const opened = await Promise.allSettled(options.map((each) => openMemberWorker(each)));
  for (const each of opened) if (each.status === "fulfilled") members.push(each.value);
  const failed = opened.find((each) => each.status === "rejected");
  if (failed !== undefined) {
    await close();
    throw failed.reason;
  }
  return { directory, options, members, close };
}
