import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLevelDisk } from "../../ha/runtime/production/level-disk.ts";
import { Libp2pNetwork } from "../../ha/runtime/production/libp2p-network.ts";
import {
  createLog,
  loadOrCreateIdentity,
  productionClock,
  productionRandom,
} from "../../ha/runtime/production/mod.ts";
import type { MemberId, PeerHandlers } from "../../ha/runtime/types.ts";
import { clockContract } from "../contract/clock.ts";
import { diskContract } from "../contract/disk.ts";
import {
  contractQueueBytes,
  type PeerNode,
  peerNetworkContract,
} from "../contract/peer-network.ts";
import { eventually } from "../patience.ts";

const log = createLog({}, { level: "silent" });
const settle = <T>(promise: Promise<T>): Promise<T> => promise;

clockContract("production", () => ({ clock: productionClock, settle }));

diskContract("LevelDB", async () => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-disk-"));
  const disk = await openLevelDisk(directory, log);
  return {
    disk,
    settle,
    reopen: () => openLevelDisk(directory, log),
    dispose: async () => {
      await disk.close();
      await rm(directory, { recursive: true });
    },
  };
});

for (const plaintext of [false, true]) {
  peerNetworkContract(plaintext ? "libp2p without TLS" : "libp2p", async () => {
    const directory = await mkdtemp(join(tmpdir(), "trireme-peers-"));
    const networks: Libp2pNetwork[] = [];

    async function createNode(
      number: number,
      port: number,
      handlers: PeerHandlers,
    ): Promise<PeerNode> {
      const identity = await loadOrCreateIdentity(join(directory, `${number}.key`));
      const network = new Libp2pNetwork({
        identity,
        listen: { host: "127.0.0.1", port },
        clock: productionClock,
        random: productionRandom,
        log,
        plaintext,
        limits: { queueBytesMax: contractQueueBytes },
      });
      networks.push(network);
      await network.start(handlers);
      const address = network.address ?? "";
      const id = number as MemberId;
      return {
        id,
        network,
        peer: { id, name: `m${number}`, addresses: [address], identity: identity.identity },
        restart: (next) => createNode(number, Number(address.split(":")[1]), next),
      };
    }

    return {
      create: (id, handlers) => createNode(id, 0, handlers),
      until: async (condition) => {
        await eventually("the condition holds", condition);
      },
      // Several dials at 10, 20, 40 and 80 ms; only absence is asserted after it.
      pass: () => new Promise((resolve) => setTimeout(resolve, 200)),
      settle,
      dispose: async () => {
        await Promise.all(networks.map((network) => network.close()));
        await rm(directory, { recursive: true });
      },
    };
  });
}
