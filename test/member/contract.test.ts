/** Members keep the store's promises: simulated ones, and real ones on their threads. */
import { after } from "node:test";
import type { Store } from "../../ha/store/mod.ts";
import { storeContract } from "../contract/store/mod.ts";
import { openRealCluster, type RealCluster } from "./real-cluster.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

storeContract("a member of a simulated cluster", async () => {
  const cluster = new SimulatedCluster("contract", 3);
  await cluster.startAll();
  return { store: cluster.follower.store!, close: cluster.keepRunning() };
});

const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

/** Leaves nothing behind but revisions. */
async function clear(store: Store): Promise<void> {
  for (const lease of await store.leases()) await store.leaseRevoke(lease);
  await store.txn({ compares: [], success: [{ op: "delete", ...everything }], failure: [] });
}

// Real members take a second to start: the cases of one contract share a cluster, one after the
// other.
for (const size of [1, 3]) {
  let opened: Promise<RealCluster> | undefined;
  let turn = 0;
  storeContract(`a worker member of ${size}`, async () => {
    opened ??= openRealCluster(size);
    const { members } = await opened;
    const store = members[turn++ % size]!;
    await clear(store);
    return { store, close: async () => {} };
  });
  after(async () => (await opened)?.close());
}
