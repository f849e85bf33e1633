/** etcdserverpb.Maintenance */
import { createHash } from "node:crypto";
import {
  type AlarmMember,
  AlarmRequest_AlarmAction,
  AlarmType,
  DowngradeRequest_DowngradeAction,
  type MaintenanceServer,
  type SnapshotResponse,
  type StatusResponse,
} from "../../proto/gen/etcd.ts";
import { serverStream, unary } from "../rpc/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { MemberId } from "../runtime/types.ts";
import { storeErrors } from "../store/mod.ts";
import type { StoreAccess } from "./access.ts";
import { type Alarm, AlarmKind, type StoreAdmin } from "./admin.ts";
import { bufferOf } from "./bytes.ts";
import { memberIdOf } from "./cluster-service.ts";
import { revisionOf } from "./convert.ts";
import * as errors from "./errors.ts";
import { etcdLimits } from "./limits.ts";

/** The etcd whose behaviour this is; clients look at the version to know what they may ask. */
export const etcdVersion = "3.5.21";

export function maintenanceService(access: StoreAccess, admin: StoreAdmin): MaintenanceServer {
  return {
    alarm: unary(async (request, context) => {
      const { action = 0, memberID = 0n, alarm = 0 } = request;
      const caller = await access.begin(context);
      // As etcd since 3.5.29: every user may see the alarms, and the member list.
      if (action === AlarmRequest_AlarmAction.GET) await access.requireUser(caller);
      else await access.requireAdmin(caller);
      const alarms = await alarmsOf(access, admin, action, memberID, alarm);
      return { header: await access.header.now(), alarms: alarms.map(wireAlarm) };
    }),

    status: unary(async (_, context) => {
      // As etcd after its issue 21663: health probes have users without the role root.
      await access.requireUser(await access.begin(context, true));
      return statusOf(access, admin);
    }),

    defragment: unary(async (_, context) => {
      await access.requireAdmin(await access.begin(context));
      await admin.defragment();
      return { header: await access.header.now() };
    }),

    hash: unary(async (_, context) => {
      await access.requireAdmin(await access.begin(context));
      const hash = await admin.hash();
      return { header: await access.header.now(), hash };
    }),

    hashKv: unary(async (request, context) => {
      await access.requireAdmin(await access.begin(context));
      const hashed = await admin.hashKv(revisionOf(request.revision));
      return {
        header: await access.header.now(),
        hash: hashed.hash,
        compactRevision: BigInt(hashed.compactRevision),
        hashRevision: BigInt(hashed.revision),
      };
    }),

    snapshot: serverStream(async function* (_, context) {
      await access.requireAdmin(await access.begin(context, true));
      const header = await access.header.now();
      yield* snapshotBlobs(admin.snapshot(), (blob) => ({ header, blob, version: etcdVersion }));
    }),

    moveLeader: unary(async (request, context) => {
      await access.requireAdmin(await access.begin(context));
      const { id, leader } = await access.store.status();
      if (leader !== id) throw storeErrors.notLeader();
      await admin.moveLeader(transferee(request.targetID));
      return { header: await access.header.now() };
    }),

    downgrade: unary(async (request, context) => {
      await access.requireAdmin(await access.begin(context));
      if (request.action === DowngradeRequest_DowngradeAction.CANCEL) throw errors.noDowngrade();
      throw new StatusError(
        Code.unimplemented,
        "etcdserver: downgrade is not supported: there is no older storage version to go back to",
      );
    }),
  };
}

async function statusOf(access: StoreAccess, admin: StoreAdmin): Promise<StatusResponse> {
  const [status, size, alarms] = await Promise.all([
    access.store.status(),
    admin.dbSize(),
    admin.alarms(),
  ]);
  const problems = alarms.map(
    ({ member, kind }) => `memberID:${member} alarm:${kind === "noSpace" ? "NOSPACE" : "CORRUPT"} `,
  );
  return {
    header: access.header.of(status.revision),
    version: etcdVersion,
    dbSize: BigInt(size.total),
    dbSizeInUse: BigInt(size.inUse),
    leader: BigInt(status.leader ?? 0),
    raftIndex: BigInt(status.commitIndex),
    raftTerm: BigInt(status.term),
    raftAppliedIndex: BigInt(status.appliedIndex),
    isLearner: status.role === "learner",
    errors: status.leader === undefined ? ["etcdserver: no leader", ...problems] : problems,
  };
}

function transferee(id: bigint | undefined): MemberId {
  try {
    return memberIdOf(id);
  } catch {
    // No member has such an id.
    throw storeErrors.badTransferee();
  }
}

async function alarmsOf(
  access: StoreAccess,
  admin: StoreAdmin,
  action: AlarmRequest_AlarmAction,
  member: bigint,
  type: AlarmType,
): Promise<readonly Alarm[]> {
  const kind = kindOf(type);
  if (action === AlarmRequest_AlarmAction.GET) {
    const all = await admin.alarms();
    return kind === undefined ? all : all.filter((alarm) => alarm.kind === kind);
  }
  if (kind === undefined) return [];
  const verb = action === AlarmRequest_AlarmAction.ACTIVATE ? "activate" : "deactivate";
  const changed: Alarm[] = [];
  for (const id of member === 0n ? await everybody() : [memberIdOf(member)]) {
    const alarm = await admin.alarm(verb, { member: id, kind });
    if (alarm !== undefined) changed.push(alarm);
  }
  return changed;

  /** An alarm outlives its member, and of CORRUPT it may name none (0): ended are all there are. */
  async function everybody(): Promise<readonly MemberId[]> {
    if (verb === "activate") return (await access.store.status()).members.map(({ id }) => id);
    return (await admin.alarms()).filter((alarm) => alarm.kind === kind).map((a) => a.member);
  }
}

function kindOf(type: AlarmType): AlarmKind | undefined {
  switch (type) {
    case AlarmType.NOSPACE:
      return AlarmKind.noSpace;
    case AlarmType.CORRUPT:
      return AlarmKind.corrupt;
    default:
      return undefined;
  }
}

function wireAlarm({ member, kind }: Alarm): AlarmMember {
  const alarm = kind === AlarmKind.noSpace ? AlarmType.NOSPACE : AlarmType.CORRUPT;
  return { memberID: BigInt(member), alarm };
}

/** The snapshot in blobs of bounded size, filled up with zeros, and last its SHA-256. */
async function* snapshotBlobs(
  chunks: AsyncIterable<Uint8Array>,
  respond: (blob: Buffer) => SnapshotResponse,
): AsyncGenerator<SnapshotResponse, void> {
  const digest = createHash("sha256");
  let total = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += etcdLimits.snapshotBlobBytes) {
      const blob = bufferOf(chunk.subarray(at, at + etcdLimits.snapshotBlobBytes));
      digest.update(blob);
      total += blob.length;
      yield respond(blob);
    }
  }
  const over = total % etcdLimits.snapshotPadBytes;
  if (over > 0) {
    const padding = Buffer.alloc(etcdLimits.snapshotPadBytes - over);
    digest.update(padding);
    yield respond(padding);
  }
  yield respond(digest.digest());
}
