import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { inSpan } from "../../../ha/runtime/trace.ts";
import type { Compare, KeyValue, Operation, TxnResponse } from "../../../ha/store/types.ts";
import { type Document, type Resource, storageOf } from "../../kinds/mod.ts";
import { tooLarge } from "../errors.ts";
import { limits } from "../limits.ts";
import { fenceKey, keyBytes } from "../storage/keys.ts";
import { pause } from "../storage/watch-cache.ts";
import type { Backend } from "./backend.ts";
import type { Call, Fence } from "./call.ts";

export interface CommitRequest {
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  /** Keys to be told of when a compare fails. */
  readonly reads: readonly string[];
}

export type CommitResult =
  | { readonly committed: true; readonly revision: number; readonly replayed: boolean }
  | {
      readonly committed: false;
      readonly found: ReadonlyMap<string, KeyValue | undefined>;
    };

/**
 * The ids under which one write of a call is tried. The store remembers a try that lost its compare
 * like any other, so the next one needs an id of its own; a repeat of the whole call walks the same
 * sequence and ends at the try that succeeded.
 */
export class WriteId {
  readonly #base: string | undefined;
  #count = 0;

  constructor(base: string | undefined) {
    this.#base = base;
  }

  get text(): string | undefined {
    if (this.#base === undefined || this.#count === 0) return this.#base;
    return `${this.#base}.${this.#count}`;
  }

  next(): void {
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }
}

/** One store transaction, with the call's fence. Throws failedPrecondition for a stale fence. */
export async function commit(
  backend: Backend,
  call: Call,
  request: CommitRequest,
  id: WriteId,
): Promise<CommitResult> {
  const { fence } = call;
  const guard = fence && fenceKey(fence.namespace, fence.lease);
  const reads = guard === undefined ? request.reads : [...request.reads, guard];
  const compares = [...request.compares, ...(fence === undefined ? [] : [fenceCompare(fence)])];
  const failure = reads.map((key) => ({ op: "range" as const, key: keyBytes(key) }));
  for (;;) {
    const answer = await send(backend, call, { compares, success: request.success, failure }, id);
    const replayed = answer.replayed === true;
    if (answer.succeeded) return { committed: true, revision: answer.revision, replayed };
    id.next();
    if (replayed && id.count <= limits.updateAttempts) continue;
    const found = await foundBy(backend, reads, answer);
    if (fence !== undefined && guard !== undefined) checkFence(fence, found.get(guard));
    return { committed: false, found };
  }
}

/** What a transaction puts under its first key. */
export interface ExpectedObject {
  readonly resource: Resource;
  readonly key: string;
  readonly value: Uint8Array;
  /** Of which the value was made. */
  readonly document: Document;
}

/** `commit`, after which the cache need not parse the object that comes back as an event. */
export async function commitExpected(
  backend: Backend,
  call: Call,
  object: ExpectedObject,
  id: WriteId,
  request: CommitRequest,
): Promise<CommitResult> {
  const { resource, key } = object;
  if (storageOf(resource) !== resource) return commit(backend, call, request, id);
  const cache = backend.cache.of(resource);
  cache.expect(key, object);
  let committed = false;
  try {
    const result = await commit(backend, call, request, id);
    committed = result.committed;
    return result;
  } finally {
    if (!committed) cache.forget(key, object);
  }
}

function fenceCompare(fence: Fence): Compare {
  const key = keyBytes(fenceKey(fence.namespace, fence.lease));
  return { key, operator: "=", target: "mod", operand: fence.token };
}

async function send(
  backend: Backend,
  call: Call,
  request: Parameters<Backend["store"]["txn"]>[0],
  id: WriteId,
): Promise<TxnResponse> {
  const before = call.proposed;
  call.proposed = true;
  const ending = new AbortController();
  const cancel = backend.clock.after(backend.requestTimeoutMillis, () => {
    ending.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
  });
  const caller = call.signal;
  const leave = () => ending.abort(caller?.reason);
  // Less than half of what AbortSignal.any costs.
  if (caller?.aborted) leave();
  else caller?.addEventListener("abort", leave, { once: true });
  const { signal } = ending;
  try {
    const requestId = storeRequestId(call, id);
    if (call.span === undefined) return await backend.store.txn(request, { requestId, signal });
    return await inSpan(call, "store commit", (span) =>
      backend.store.txn(request, { requestId, signal, span }),
    );
  } catch (thrown) {
    const error = StatusError.from(thrown);
    // The store answers so only when it has handed the write to no leader.
    if (error.code === Code.unavailable && error.message === noLeader) call.proposed = before;
    if (error.message === requestTooLarge) throw tooLarge(sizeOf(request), limits.objectBytes);
    throw error;
  } finally {
    cancel();
    caller?.removeEventListener("abort", leave);
  }
}

/** With the digest, so that the store refuses the id of another request. */
function storeRequestId(call: Call, id: WriteId): string | undefined {
  return id.text === undefined || call.digest === undefined ? id.text : `${id.text} ${call.digest}`;
}

const noLeader = "etcdserver: no leader";
const requestTooLarge = "etcdserver: request is too large";

function sizeOf(request: { readonly success: readonly Operation[] }): number {
  const sizes = request.success.map((each) => (each.op === "put" ? each.value.length : 0));
  return Math.max(0, ...sizes);
}

async function foundBy(
  backend: Backend,
  reads: readonly string[],
  answer: TxnResponse,
): Promise<Map<string, KeyValue | undefined>> {
  const found = new Map<string, KeyValue | undefined>();
  for (const [index, key] of reads.entries()) {
    const result = answer.results[index];
    if (result?.op === "range") found.set(key, result.kvs[0]);
    // A remembered answer may have been kept without its values.
    else found.set(key, (await backend.store.range({ key: keyBytes(key) })).kvs[0]);
  }
  return found;
}

function checkFence(fence: Fence, present: KeyValue | undefined): void {
  if (present?.modRevision === fence.token) return;
  const now = present === undefined ? "no fence" : `fence ${present.modRevision}`;
  throw new StatusError(
    Code.failedPrecondition,
    `the fence of lease ${fence.namespace}/${fence.lease} has moved on: the request carries token ` +
      `${fence.token}, the store has ${now}; leadership has passed to another`,
    { reason: "Conflict", group: "coordination.k8s.io", kind: "leases", name: fence.lease },
  );
}

/**
 * The revision of the write that an earlier attempt of the same request made: on a repeated call,
 * failing checks may be that write's doing. Undefined: there was none, or no id to find it by.
 * Throws FailedPrecondition when the id was another request's.
 */
export async function recall(
  backend: Backend,
  call: Call,
  base: string | undefined,
  thrown?: unknown,
): Promise<number | undefined> {
  if (base === undefined) return undefined;
  const { code } = thrown === undefined ? { code: Code.ok } : StatusError.from(thrown);
  // Nothing was decided yet, so this says nothing about an earlier attempt.
  if (code === Code.unavailable || code === Code.cancelled) return undefined;
  const id = new WriteId(base);
  for (; id.count <= limits.updateAttempts; id.next()) {
    const answer = await backend.store.recall(storeRequestId(call, id) ?? base);
    if (answer === undefined) return undefined;
    if (answer.succeeded) return answer.revision;
  }
  return undefined;
}

/**
 * Others write the same object, want the same address, or count against the same quota: they go
 * apart by chance.
 */
export function goApart(backend: Backend, call: Call): Promise<void> {
  const millis = backend.random(limits.backoffMillis);
  return pause(backend.clock, millis, call.signal ?? neverAborted);
}

const neverAborted = new AbortController().signal;
