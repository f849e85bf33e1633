/**
 * The member's own thread: a stall of the main thread, JSON or garbage collection, must not delay
 * a heartbeat. Started by `worker-store.ts`, which is the other end.
 */
import { parentPort, workerData } from "node:worker_threads";
import { memberIdOf, openProductionRuntime } from "../runtime/production/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { MemberId } from "../runtime/types.ts";
import { openMember } from "./load.ts";
import { readIdentity } from "./log-store.ts";
import { meet, peerOf } from "./meeting.ts";
import { MemberStore } from "./member-store.ts";
import {
  type Call,
  exact,
  type FromMember,
  packBatch,
  packRange,
  packTxn,
  snapshotCreditPieces,
  type ToMember,
  toRemote,
  watchCreditBatches,
} from "./remote.ts";
import { ThreadServices } from "./thread-service.ts";
import type { MemberOptions } from "./types.ts";
import type { ThreadData } from "./worker-store.ts";

if (!parentPort) throw new Error("ha/member/thread.ts runs as a worker thread");
const port = parentPort;

interface Watching {
  close(): void;
  closed?: boolean;
  credit: number;
  wake: (() => void) | undefined;
}

const services = new ThreadServices();
const watches = new Map<number, Watching>();
let outgoing: FromMember[] = [];

/** Everything said in one turn crosses in one message. */
function say(message: FromMember): void {
  outgoing.push(message);
  if (outgoing.length > 1) return;
  setImmediate(() => {
    const batch = outgoing;
    outgoing = [];
    port.postMessage(batch);
  });
}

async function serve(store: MemberStore, message: ToMember): Promise<void> {
  switch (message.kind) {
    case "call":
      if (message.timed) return timed(store, message);
      try {
        say({ kind: "result", id: message.id, value: await answer(store, message.call) });
      } catch (error) {
        say({ kind: "error", id: message.id, error: toRemote(error) });
      }
      return;
    case "watch":
      return watch(store, message);
    case "snapshot":
      return snapshot(store, message);
    case "credit": {
      const watching = watches.get(message.id);
      if (!watching) return;
      watching.credit += message.batches;
      watching.wake?.();
      return;
    }
    case "unwatch":
      return unwatch(watches.get(message.id));
  }
}

async function timed(store: MemberStore, message: ToMember & { kind: "call" }): Promise<void> {
  const now = () => performance.timeOrigin + performance.now();
  const beganAt = now();
  const { id, call } = message;
  const time = () => say({ kind: "timing", id, timing: { beganAt, endedAt: now() } });
  try {
    const value = await answer(store, call);
    time();
    say({ kind: "result", id, value });
  } catch (error) {
    time();
    say({ kind: "error", id, error: toRemote(error) });
  }
}

async function answer(store: MemberStore, call: Call): Promise<unknown> {
  if ("admin" in call) {
    const { admin } = store;
    // Checked by the types of the other end (`worker-admin.ts`).
    const method = admin[call.method] as (...parameters: unknown[]) => Promise<unknown>;
    return await method.apply(admin, [...call.admin]);
  }
  switch (call.method) {
    case "range":
      return packRange(await store.range(call.request, { serializable: call.serializable }));
    case "txn":
      return packTxn(await store.txnEncoded(call.txn, { requestId: call.requestId }));
    case "serve":
      return await services.start(call.module, store, call.options, runtime.log);
    case "stopServing":
      return await services.stop(call.service);
    case "recall": {
      const response = await store.recall(call.requestId);
      return response && packTxn(response);
    }
    case "compact":
      return await store.compact(call.revision);
    case "leaseGrant":
      return await store.leaseGrant(call.lease, call.seconds);
    case "leaseRevoke":
      return await store.leaseRevoke(call.lease);
    case "leaseKeepAlive":
      return await store.leaseKeepAlive(call.lease);
    case "leaseTimeToLive": {
      const status = await store.leaseTimeToLive(call.lease);
      return { ...status, keys: status.keys.map(exact) };
    }
    case "readRevision":
      return await store.readRevision();
    case "leases":
      return await store.leases();
    case "status":
      return await store.status();
    case "close":
      await store.close();
      await runtime.close();
      return undefined;
  }
}

/** Forwards batches as long as there is credit; beyond, the store's own bounds hold. */
async function watch(store: MemberStore, message: ToMember & { kind: "watch" }): Promise<void> {
  const { id, request } = message;
  const stream = store.watch(request);
  const watching: Watching = {
    close: () => stream.close(),
    credit: watchCreditBatches,
    wake: undefined,
  };
  await forward(id, watching, async () => {
    say({ kind: "created", id, revision: await stream.created });
    for await (const batch of stream) {
      say({ kind: "batch", id, batch: packBatch(batch) });
      await spend(watching);
    }
  });
}

async function snapshot(store: MemberStore, { id, since }: ToMember & { kind: "snapshot" }) {
  const watching: Watching = {
    close: () => {},
    credit: snapshotCreditPieces,
    wake: undefined,
  };
  await forward(id, watching, async () => {
    for await (const piece of store.admin.snapshot(since)) {
      if (watching.closed) return;
      say({ kind: "piece", id, piece: exact(piece) });
      await spend(watching);
    }
  });
}

function unwatch(watching: Watching | undefined): void {
  if (!watching) return;
  watching.closed = true;
  watching.close();
  watching.wake?.();
}

async function forward(id: number, watching: Watching, run: () => Promise<void>): Promise<void> {
  watches.set(id, watching);
  try {
    await run();
    say({ kind: "end", id, error: undefined });
  } catch (error) {
    say({ kind: "end", id, error: toRemote(error) });
  } finally {
    watches.delete(id);
  }
}

async function spend(watching: Watching): Promise<void> {
  watching.credit--;
  while (watching.credit <= 0 && !watching.closed) {
    await new Promise<void>((resolve) => {
      watching.wake = resolve;
    });
  }
}

/** An Ed25519 peer id in base58 (libp2p peer id specification). */
function identify(identity: string): MemberId {
  if (/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(identity)) return memberIdOf(identity);
  const text = `etcdserver: "${identity}" is not the peer id of an Ed25519 key (12D3KooW…)`;
  throw new StatusError(Code.invalidArgument, text);
}

/** What the disk says of the cluster; before it says anything, what the flags and the peers say. */
async function memberOptions(data: ThreadData): Promise<MemberOptions> {
  const { identity, memberId } = runtime.identity;
  const { member, cluster: named } = data;
  const known = readIdentity(runtime.disk);
  if (known?.cluster) {
    const id = known.identity === identity ? (known.member as MemberId) : memberId;
    const cluster = named.flatMap((each) => (each.identity ? [peerOf(each, each.identity)] : []));
    return { ...member, id, identity, identify, cluster };
  }
  if (named.every((each) => each.identity !== undefined)) {
    const cluster = named.map((each) => peerOf(each, each.identity ?? ""));
    return { ...member, id: memberId, identity, identify, cluster };
  }
  const joins = member.initialClusterState === "existing";
  const own = { name: member.name, identity };
  const { cluster, member: id = memberId } = await meet(runtime, own, named, joins);
  return { ...member, id, identity, identify, cluster };
}

const data = workerData as ThreadData;
const runtime = await openProductionRuntime(data.runtime);
let store: MemberStore;
try {
  store = new MemberStore(await openMember(runtime, await memberOptions(data)));
} catch (error) {
  await runtime.close();
  throw error;
}
runtime.faults?.onChange(({ clockOffsetMillis }) => {
  say({ kind: "clockOffset", millis: clockOffsetMillis });
});
store.onStatus((status) => say({ kind: "status", status }));
store.excluded.then(
  (error) => say({ kind: "excluded", error: toRemote(error) }),
  (thrown: unknown) => runtime.log.error("a member's exclusion went unnoticed", { error: thrown }),
);
port.on("message", (messages: readonly ToMember[]) => {
  // Each answers by itself, failures included.
  for (const message of messages) void serve(store, message);
});
