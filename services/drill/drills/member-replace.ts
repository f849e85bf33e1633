import { rmSync } from "node:fs";
import { join } from "node:path";
import { call } from "../../../ha/rpc/mod.ts";
import type { Drill } from "../drill.ts";
import type { Scene } from "../scene.ts";
import { StoreWorld } from "../world/store-world.ts";
import type { MemberRef } from "../world/world.ts";

export const memberReplace: Drill = {
  name: "member-replace",
  summary: "a member is removed, and comes back with an empty disk and a new key: it catches up",
  world: "store",
  thresholds: {
    writeOutageMillis: 500,
    readOutageMillis: 500,
    watchOutageMillis: 1_000,
    failedCalls: 0,
    relists: 0,
    elections: 0,
    recoveryMillis: 15_000,
  },
  async fault(scene) {
    const victim = await scene.victim("follower");
    const { world } = scene;
    if (!(world instanceof StoreWorld)) throw new Error("member-replace needs a store of its own");
    const leader = await scene.leader();
    const id = (await victim.status())?.header?.memberId;
    if (id === undefined) throw new Error(`${victim.name} does not answer`);
    scene.strike(`${victim.name} is removed, and loses its disk`, () =>
      comeBack(scene, world, leader, victim),
    );
    await call(leader.cluster, "memberRemove", { ID: id }, { deadlineMillis: 10_000 });
    await scene.gone(victim);
    await scene.hold(1_000);
  },
};

/** Added anew under the same addresses, and started as a member that joins. */
async function comeBack(
  { signal }: Scene,
  world: StoreWorld,
  leader: MemberRef,
  victim: MemberRef,
): Promise<void> {
  const { cluster } = world;
  const key = join(cluster.directory, `${victim.name}-${Date.now()}.key`);
  const members = cluster.initialCluster.split(",");
  const own = members.findIndex((each) => each.startsWith(`${victim.name}=`));
  // As in m2=127.0.0.1:2380/12D3KooW…, or as below when it was replaced before.
  const [address] = /[\d.]+:\d+/.exec(members[own] ?? "") ?? [];
  const url = `http://${address}`;
  rmSync(join(cluster.directory, victim.name), { recursive: true, force: true });
  const request = { peerURLs: [url] };
  await call(leader.cluster, "memberAdd", request, { deadlineMillis: 10_000, signal });
  // The new key is not known yet.
  members[own] = `${victim.name}=${url}`;
  cluster.initialCluster = members.join(",");
  await world.revive(victim, [
    ...["--initial-cluster", cluster.initialCluster, "--initial-cluster-state", "existing"],
    ...["--peer-key-file", key],
  ]);
}
