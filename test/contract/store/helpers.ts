/** Requests in short, and what the cases of stores ask of answers. */
import assert from "node:assert/strict";
import { type Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type {
  Compare,
  KeyValue,
  Operation,
  Store,
  TxnRequest,
  WatchBatch,
  WatchEvent,
} from "../../../ha/store/types.ts";
import { patienceMillis } from "../../patience.ts";

const deadlineMillis = patienceMillis;
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array): string => new TextDecoder().decode(value);
export const all = Uint8Array.of(0);

export const put = (key: string, value: string, lease?: bigint): Operation => ({
  op: "put",
  key: bytes(key),
  value: bytes(value),
  lease,
});
export const remove = (key: string, end?: string): Operation => ({
  op: "delete",
  key: bytes(key),
  rangeEnd: end === undefined ? undefined : bytes(end),
  previous: true,
});
export const does = (...success: Operation[]): TxnRequest => ({
  compares: [],
  success,
  failure: [],
});
export const when = (
  compare: Compare,
  success: Operation[],
  failure: Operation[] = [],
): TxnRequest => ({
  compares: [compare],
  success,
  failure,
});

export const show = (kvs: readonly KeyValue[]): string =>
  kvs.map((kv) => `${text(kv.key)}=${text(kv.value)}`).join(" ");
export const showEvents = (events: readonly WatchEvent[]): string =>
  events
    .map(({ type, kv }) =>
      type === "put" ? `${text(kv.key)}=${text(kv.value)}` : `-${text(kv.key)}`,
    )
    .join(" ");

export async function refused(
  promise: Promise<unknown>,
  code: Code,
  message: RegExp,
): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

/** The promise, or an error that says what did not come. */
export function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} in time`)), deadlineMillis);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Collects batches of a watch until its events satisfy `enough`. */
export async function collect(
  iterator: AsyncIterator<WatchBatch>,
  enough: (events: readonly WatchEvent[], batches: readonly WatchBatch[]) => boolean,
): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  while (
    !enough(
      batches.flatMap((batch) => batch.events),
      batches,
    )
  ) {
    const next = await soon(iterator.next(), "watch batch");
    assert.equal(next.done, false, "the watch goes on");
    batches.push(next.value);
  }
  return batches;
}

export const eventsOf = (batches: readonly WatchBatch[]): WatchEvent[] =>
  batches.flatMap((batch) => [...batch.events]);

/** Ordered, unique, atomic: events ascend, and no revision is split between batches. */
export function checkOrder(batches: readonly WatchBatch[]): void {
  let last = 0;
  for (const batch of batches) {
    for (const { kv } of batch.events) {
      assert.ok(kv.modRevision > last, `event at ${kv.modRevision} after a batch to ${last}`);
      assert.ok(kv.modRevision <= batch.revision, "a batch covers its events");
    }
    const revisions = batch.events.map(({ kv }) => kv.modRevision);
    assert.deepEqual(
      revisions,
      [...revisions].sort((a, b) => a - b),
      "events ascend",
    );
    assert.ok(batch.revision >= last, "batches ascend");
    last = batch.revision;
  }
}

export type WithStore = (title: string, body: (store: Store) => Promise<void>) => void;
