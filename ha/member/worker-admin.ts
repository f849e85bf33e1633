/** The administration of a member on its thread: the same methods as `MemberAdmin`. */
import type { Revision } from "../store/mod.ts";
import type { MemberAdmin } from "./admin.ts";
import type { AdminMethod } from "./remote.ts";

export type WorkerAdmin = Pick<MemberAdmin, AdminMethod> & {
  snapshot(sinceRevision?: Revision): AsyncIterable<Uint8Array>;
};

export function workerAdmin(
  call: <T>(method: AdminMethod, parameters: readonly unknown[]) => Promise<T>,
  snapshot: (since: Revision | undefined) => AsyncIterable<Uint8Array>,
): WorkerAdmin {
  return {
    members: () => call("members", []),
    memberAdd: ({ peerUrls, learner }) => call("memberAdd", [{ peerUrls: [...peerUrls], learner }]),
    memberRemove: (id) => call("memberRemove", [id]),
    memberUpdate: (id, peerUrls) => call("memberUpdate", [id, [...peerUrls]]),
    memberPromote: (id) => call("memberPromote", [id]),
    moveLeader: (to) => call("moveLeader", [to]),
    handOver: () => call("handOver", []),
    defragment: () => call("defragment", []),
    hashKv: (revision) => call("hashKv", [revision]),
    hash: () => call("hash", []),
    alarms: () => call("alarms", []),
    alarm: (action, { member, kind }) => call("alarm", [action, { member, kind }]),
    dbSize: () => call("dbSize", []),
    snapshot,
  };
}
