/** Encryption at rest: what the store is given and what it gives, between it and the apiserver. */
import type {
  KeyValue,
  Operation,
  OperationResult,
  RangeResponse,
  Store,
  TxnRequest,
  TxnResponse,
  WatchBatch,
  WatchStream,
} from "../../../../ha/store/types.ts";
import type { Resource } from "../../../kinds/mod.ts";
import { registryPrefix } from "../keys.ts";
import { ownBytes } from "../own-bytes.ts";
import type { StoredObject } from "../stored-object.ts";
import type { Cipher } from "./ciphers.ts";
import { type EncryptionRule, names } from "./configuration.ts";
import { begins, isSealed, sealedMark } from "./sealed.ts";

export class Encryption {
  readonly #corePlurals: ReadonlySet<string>;
  readonly #groups: ReadonlySet<string>;
  #rules: readonly EncryptionRule[];
  /** By the part of a key that tells its resource; null: not encrypted. */
  #found = new Map<string, EncryptionRule | null>();
  /** With which cipher a value has been read. */
  readonly #readWith = new WeakMap<Uint8Array, string>();
  readonly #listeners: (() => void)[] = [];

  /** `registry`: the built-in resources, which tell how keys are to be read. */
  constructor(rules: readonly EncryptionRule[], registry: Iterable<Resource>) {
    this.#rules = rules;
    const all = [...registry];
    this.#corePlurals = new Set(
      all.filter(({ group }) => group === "").map(({ plural }) => plural),
    );
    this.#groups = new Set(all.map(({ group }) => group));
  }

  /** From now on; what cannot be read so far may be read now. */
  replace(rules: readonly EncryptionRule[]): void {
    this.#rules = rules;
    this.#found = new Map();
    for (const listener of this.#listeners) listener();
  }

  onReplace(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** It was read with another key than new values are written with: an update writes it anew. */
  isStale({ key, value }: StoredObject): boolean {
    const writer = this.#ruleOf(Buffer.from(key))?.ciphers[0];
    const readWith = this.#readWith.get(value);
    return writer !== undefined && readWith !== undefined && readWith !== writer.id;
  }

  encrypted(key: Uint8Array, value: Uint8Array): Uint8Array {
    return this.#ruleOf(key)?.ciphers[0]?.encrypt(value, key) ?? value;
  }

  /** A value that no key opens stays sealed, and says so when it is looked at. */
  decrypted(kv: KeyValue): KeyValue {
    const rule = this.#ruleOf(kv.key);
    if (rule === undefined || kv.value.length === 0) return kv;
    const opened = this.#opened(rule.ciphers, kv);
    return opened === undefined ? { ...kv, value: sealedOf(kv.value) } : { ...kv, value: opened };
  }

  #opened(ciphers: readonly Cipher[], { key, value: stored }: KeyValue): Uint8Array | undefined {
    const sealed = isSealed(stored);
    for (const cipher of ciphers) {
      if (sealed !== (cipher.prefix !== "") || !begins(stored, cipher.prefix)) continue;
      const opened = cipher.decrypt(stored, key);
      if (opened === undefined) continue;
      // The object that is made of it keeps these very bytes.
      const value = ownBytes(opened);
      this.#readWith.set(value, cipher.id);
      return value;
    }
    return undefined;
  }

  /** Keys are `/registry/<plural>/…` in the core group, else `/registry/<group>/<plural>/…`. */
  #ruleOf(key: Uint8Array): EncryptionRule | undefined {
    const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
    if (!text.startsWith(registryPrefix)) return undefined;
    const first = text.indexOf("/", registryPrefix.length);
    if (first < 0) return undefined;
    const head = text.slice(registryPrefix.length, first);
    const isCore = this.#corePlurals.has(head);
    const second = isCore ? first : text.indexOf("/", first + 1);
    if (second < 0) return undefined;
    const place = text.slice(registryPrefix.length, second);
    let rule = this.#found.get(place);
    if (rule === undefined) {
      const [group, plural] = isCore ? ["", head] : [head, text.slice(first + 1, second)];
      // What stands beside the objects, e.g. the ranges of addresses, is never encrypted.
      const counts = isCore || group.includes(".") || this.#groups.has(group);
      rule = (counts && this.#rules.find((each) => names(each, group, plural))) || null;
      this.#found.set(place, rule);
    }
    return rule ?? undefined;
  }
}

/** A plain text where none may be read counts as sealed as well. */
function sealedOf(value: Uint8Array): Uint8Array {
  return isSealed(value) ? value : sealedMark;
}

/** The store, in which the values of some resources are encrypted. */
export function encryptedStore(store: Store, encryption: Encryption): Store {
  return {
    range: async (request, options) => openedRange(encryption, await store.range(request, options)),
    txn: async (request, options) =>
      openedTxn(encryption, await store.txn(sealedTxn(encryption, request), options)),
    recall: async (requestId) => {
      const answer = await store.recall(requestId);
      return answer && openedTxn(encryption, answer);
    },
    watch: (request) => openedWatch(encryption, store.watch(request)),
    readRevision: () => store.readRevision(),
    compact: (revision) => store.compact(revision),
    leaseGrant: (id, seconds) => store.leaseGrant(id, seconds),
    leaseRevoke: (id) => store.leaseRevoke(id),
    leaseKeepAlive: (id) => store.leaseKeepAlive(id),
    leaseTimeToLive: (id) => store.leaseTimeToLive(id),
    leases: () => store.leases(),
    status: () => store.status(),
    onStatus: (listener) => store.onStatus(listener),
    close: () => store.close(),
  };
}

function sealedTxn(encryption: Encryption, request: TxnRequest): TxnRequest {
  const sealed = (operation: Operation): Operation => {
    if (operation.op === "txn") return { op: "txn", ...sealedTxn(encryption, operation) };
    if (operation.op !== "put") return operation;
    return { ...operation, value: encryption.encrypted(operation.key, operation.value) };
  };
  const { compares, success, failure } = request;
  return { compares, success: success.map(sealed), failure: failure.map(sealed) };
}

function openedTxn(encryption: Encryption, answer: TxnResponse): TxnResponse {
  return { ...answer, results: answer.results.map((result) => openedResult(encryption, result)) };
}

function openedResult(encryption: Encryption, result: OperationResult): OperationResult {
  const opened = (kv: KeyValue) => encryption.decrypted(kv);
  switch (result.op) {
    case "range":
      return { op: "range", ...openedRange(encryption, result) };
    case "put":
      return { op: "put", previous: result.previous && opened(result.previous) };
    case "delete":
      return { ...result, previous: result.previous.map(opened) };
    case "txn":
      return { op: "txn", ...openedTxn(encryption, result) };
  }
}

function openedRange(encryption: Encryption, answer: RangeResponse): RangeResponse {
  return { ...answer, kvs: answer.kvs.map((kv) => encryption.decrypted(kv)) };
}

function openedWatch(encryption: Encryption, stream: WatchStream): WatchStream {
  return {
    created: stream.created,
    close: () => stream.close(),
    async *[Symbol.asyncIterator]() {
      for await (const batch of stream) yield openedBatch(encryption, batch);
    },
  };
}

function openedBatch(encryption: Encryption, batch: WatchBatch): WatchBatch {
  if (batch.events.length === 0) return batch;
  const events = batch.events.map((event) => ({
    ...event,
    kv: encryption.decrypted(event.kv),
    previous: event.previous && encryption.decrypted(event.previous),
  }));
  return { ...batch, events };
}
