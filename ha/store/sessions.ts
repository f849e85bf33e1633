/**
 * Answers of writes that carried a request id: what makes a repeated write harmless. Replicated,
 * so everything here is decided by the log alone: the count, and the age by replicated wall time.
 */
import type { DiskOperation } from "../runtime/types.ts";
import { seal } from "./checksum.ts";
import { decodeTxnResponse, encodeTxnResponse } from "./codec.ts";
import { Fifo } from "./fifo.ts";
import { diskKey, encodeSession, Prefix, type SessionRecord } from "./layout.ts";
import type { StoreLimits } from "./limits.ts";
import { requestIdReused, sameRequest, splitRequestId } from "./request-id.ts";
import { bytesOf, textOf } from "./text.ts";
import type { TxnResponse } from "./types.ts";

export class Sessions {
  private readonly limits: StoreLimits;
  private readonly byId = new Map<string, SessionRecord>();
  /** Oldest first. (A map's first key is found by passing over all that were deleted before it.) */
  private readonly order = new Fifo<SessionRecord>();
  /** Order of the oldest, and of the next. */
  private first = 0;
  private next = 0;
  private operations: DiskOperation[] = [];

  constructor(limits: StoreLimits) {
    this.limits = limits;
  }

  get size(): number {
    return this.byId.size;
  }

  /** Throws failedPrecondition when the id was given to another request. */
  get(requestId: string): TxnResponse | undefined {
    const { id, digest } = splitRequestId(requestId);
    const session = this.byId.get(id);
    if (session === undefined) return undefined;
    const remembered = splitRequestId(session.requestId).digest;
    if (!sameRequest(remembered, digest)) throw requestIdReused(id);
    return { ...decodeTxnResponse(bytesOf(session.result)), replayed: true };
  }

  /** A large answer is remembered as succeeded and revision only. */
  remember(requestId: string, wallMillis: number, response: TxnResponse): void {
    let encoded = encodeTxnResponse(response);
    if (encoded.length > this.limits.maxSessionResultBytes) {
      encoded = encodeTxnResponse({ ...response, results: [] });
    }
    const session = { requestId, wallMillis, result: textOf(encoded) };
    this.byId.set(splitRequestId(requestId).id, session);
    this.order.push(session);
    const key = diskKey(Prefix.session, this.next);
    this.operations.push({ key, value: seal(key, encodeSession(session, this.next)) });
    this.next++;
    while (this.byId.size > this.limits.maxSessions) this.forgetOldest();
  }

  /** Forgets what is too old by now. */
  expire(wallMillis: number): void {
    for (let oldest = this.order.first; oldest !== undefined; oldest = this.order.first) {
      if (oldest.wallMillis + this.limits.sessionMillis > wallMillis) return;
      this.forgetOldest();
    }
  }

  private forgetOldest(): void {
    const oldest = this.order.shift();
    if (oldest === undefined) return;
    this.byId.delete(splitRequestId(oldest.requestId).id);
    this.operations.push({ key: diskKey(Prefix.session, this.first) });
    this.first++;
  }

  /** A session read from disk; they come oldest first. Answers whether `order` follows. */
  restore(session: SessionRecord, order: number): boolean {
    const follows = this.byId.size === 0 || order === this.next;
    if (this.byId.size === 0) this.first = order;
    this.byId.set(splitRequestId(session.requestId).id, session);
    this.order.push(session);
    this.next = order + 1;
    return follows;
  }

  records(): IterableIterator<SessionRecord> {
    return this.byId.values();
  }

  get hasOperations(): boolean {
    return this.operations.length > 0;
  }

  takeOperations(into: DiskOperation[]): void {
    if (this.operations.length === 0) return;
    for (const operation of this.operations) into.push(operation);
    this.operations = [];
  }
}
