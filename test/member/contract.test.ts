/** Members keep the store's promises: simulated ones, and real ones on their threads. */
import { storeContract } from "../contract/store.ts";
import { openRealCluster } from "./real-cluster.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

storeContract("a member of a simulated cluster", async () => {
  const cluster = new SimulatedCluster("contract", 3);
  await cluster.startAll();
  const stop = cluster.keepRunning();
  return {
    store: cluster.stores[2]!,
    close: async () => {
      await stop();
    },
  };
});

for (const size of [1, 3]) {
  storeContract(`a worker member of ${size}`, async () => {
    const cluster = await openRealCluster(size);
    return { store: cluster.members[0]!, close: () => cluster.close() };
  });
}
