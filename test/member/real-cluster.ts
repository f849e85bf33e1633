/** Members on LevelDB and libp2p, on loopback, each on its own thread, as in production. */

import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMemberWorker, type WorkerMemberOptions } from "../../ha/member/mod.ts";
import { createLog, loadOrCreateIdentity } from "../../ha/runtime/production/mod.ts";

export type OpenedMember = Awaited<ReturnType<typeof openMemberWorker>>;
export const silentLog = createLog({}, { level: "silent" });

export interface RealCluster {
  readonly directory: string;
  readonly options: readonly WorkerMemberOptions[];
  readonly members: OpenedMember[];
  close(): Promise<void>;
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** What the members of a new cluster are started with. */
export async function clusterOptions(
  directory: string,
  size: number,
  more: Partial<WorkerMemberOptions> = {},
): Promise<WorkerMemberOptions[]> {
  const cluster = await Promise.all(
    Array.from({ length: size }, async (_, i) => {
      const { identity } = await loadOrCreateIdentity(join(directory, `m${i}.key`));
      return { name: `m${i}`, address: `127.0.0.1:${await freePort()}`, identity };
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
  const members = await Promise.all(options.map((each) => openMemberWorker(each)));
  return {
    directory,
    options,
    members,
    async close() {
      await Promise.all(members.map((member) => member.close()));
      await rm(directory, { recursive: true });
    },
  };
}
