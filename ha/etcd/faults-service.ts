/** trireme.cluster.v1.Faults: for members that were started to take faults on purpose. */
import type { FaultSettings as FaultsMessage, FaultsServer } from "../../proto/gen/cluster.ts";
import { unary } from "../rpc/mod.ts";
import type { DiskFault, FaultControl, FaultSettings, PeerFault } from "../runtime/faults/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { StoreAccess } from "./access.ts";

export function faultsService(access: StoreAccess, faults: FaultControl): FaultsServer {
  return {
    set: unary(async (request, context) => {
      // A learner takes faults too, and so does a member that no leader is known to.
      await access.requireAdmin(await access.begin(context, true));
      faults.set(settingsOf(request));
      return messageOf(faults.settings);
    }),

    get: unary(async (_, context) => {
      await access.requireAdmin(await access.begin(context, true));
      return messageOf(faults.settings);
    }),
  };
}

function settingsOf(message: FaultsMessage): FaultSettings {
  const { peers = [], disk = {}, clockOffsetMillis = 0, expireMillis = 0 } = message;
  return {
    peers: peers.map(({ peer = "", ...fault }): PeerFault => ({ peer, ...fault })),
    disk: { slowMillis: disk.slowMillis, failure: failureOf(disk.failure) },
    clockOffsetMillis,
    expireMillis,
  };
}

function failureOf(word: string | undefined): DiskFault["failure"] {
  if (word === undefined || word === "") return undefined;
  if (word === "full" || word === "io") return word;
  throw new StatusError(Code.invalidArgument, `disk.failure: "${word}" is neither full nor io`);
}

function messageOf({ peers, disk, clockOffsetMillis, expireMillis }: FaultSettings): FaultsMessage {
  return { peers: peers.map((fault) => ({ ...fault })), disk, clockOffsetMillis, expireMillis };
}
