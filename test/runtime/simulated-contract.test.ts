import assert from "node:assert/strict";
import { World } from "../../ha/runtime/simulated/mod.ts";
import type { MemberId, PeerHandlers } from "../../ha/runtime/types.ts";
import { clockContract } from "../contract/clock.ts";
import { diskContract } from "../contract/disk.ts";
import {
  contractQueueBytes,
  type PeerNode,
  peerNetworkContract,
} from "../contract/peer-network.ts";
import { settleIn } from "./settle.ts";

const one = 1 as MemberId;

clockContract("simulated", () => {
  const world = new World("clock");
  return { clock: world.createRuntime(one, "m1").clock, settle: settleIn(world) };
});

diskContract("simulated", async () => {
  const world = new World("disk");
  const { disk } = world.createRuntime(one, "m1");
  return {
    disk,
    settle: settleIn(world),
    reopen: async () => world.restart(one).disk,
    dispose: async () => {},
  };
});

peerNetworkContract("simulated", async () => {
  const world = new World("peers", { network: { queueBytesMax: contractQueueBytes } });
  const settle = settleIn(world);

  async function createNode(number: number, handlers: PeerHandlers): Promise<PeerNode> {
    const id = number as MemberId;
    if (world.isAlive(id)) world.crash(id);
    const { network } = world.createRuntime(id, `m${number}`);
    await network.start(handlers);
    const restart = (next: PeerHandlers): Promise<PeerNode> => createNode(number, next);
    return { id, network, peer: world.peer(id), restart };
  }

  return {
    create: createNode,
    until: async (condition) => assert.ok(await world.runUntil(condition), world.report()),
    pass: () => world.runFor(3_000),
    settle,
    dispose: async () => {},
  };
});
