/** Puts to the leader of three store members, by h2load. */
import { join } from "node:path";
import { PutRequest } from "../../../proto/gen/etcd.ts";
import { startTrireme } from "../store/clusters.ts";
import { grpcFrame, h2load } from "../store/h2load.ts";
import { measure, putToLeader } from "../store/loads.ts";
import { type Place, withPlace } from "../store/place.ts";
import { program } from "../store/program.ts";
import type { Done, Subject } from "./subject.ts";

/** Each stretch of load writes one of them. */
const keys = 16;
const value = Buffer.alloc(256, 0x76);

export async function withStore(work: (subject: Subject) => Promise<void>): Promise<void> {
  program("h2load");
  await withPlace(async (place) => {
    const cluster = await startTrireme(place.processes, join(place.folder, "trireme"));
    try {
      await work(subjectOf(cluster, place));
    } finally {
      cluster.close();
    }
  });
}

function subjectOf(
  cluster: Awaited<ReturnType<typeof startTrireme>>,
  { folder, processes }: Place,
): Subject {
  const { signal } = processes;
  let stretch = 0;
  let revision: number | undefined;
  return {
    title: "puts/s at 4×16",
    members: cluster.members,
    atPeak: (seconds) => measure(cluster, putToLeader, { folder, seconds, signal }),
    async atRate(perSecond, seconds): Promise<Done> {
      const { endpoint } = await cluster.leader();
      const key = Buffer.from(`soak/${stretch++ % keys}`);
      const body = grpcFrame(PutRequest.encode({ key, value }).finish());
      const load = { ...putToLeader, body, endpoints: [endpoint], seconds, perSecond, signal };
      return h2load(folder, load);
    },
    // As etcd's periodic mode: what is older than the period goes.
    async compact() {
      if (revision !== undefined) await cluster.compact(revision);
      revision = await cluster.revision();
    },
  };
}
