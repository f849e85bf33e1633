/** etcd's API: each key is a key. */
import { Metadata } from "@grpc/grpc-js";
import { call, connect } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { KVClient, WatchClient, type WatchResponse } from "../../../proto/gen/etcd.ts";
import { Event_EventType } from "../../../proto/gen/etcd_kv.ts";
import type { SeenChange } from "../evidence.ts";
import { type Attempt, type Face, type FaceOptions, keepalive, type SeenBatch } from "./face.ts";

const pageSize = 5_000n;
const setUpMillisMax = 15_000;
/** How often an idle watch asks how far it has come. */
const progressMillis = 500;

export class EtcdFace implements Face {
  readonly name = "etcd";
  readonly #prefix: string;
  readonly #doors: readonly { readonly kv: KVClient; readonly watch: WatchClient }[];

  constructor({ addresses, tls, run }: FaceOptions) {
    this.#prefix = `/drill/${run}/`;
    const options = { tls, reconnectMinMillis: 20, reconnectMaxMillis: 200, ...keepalive };
    this.#doors = addresses.map((address) => ({
      kv: connect(KVClient, { addresses: [address], ...options }),
      watch: connect(WatchClient, { addresses: [address], ...options }),
    }));
  }

  get doors(): number {
    return this.#doors.length;
  }

  async prepare(): Promise<void> {}

  create(key: string, value: string, attempt: Attempt): Promise<number> {
    return this.write(key, value, attempt);
  }

  async write(key: string, value: string, attempt: Attempt): Promise<number> {
    const request = { key: this.#key(key), value: Buffer.from(value) };
    const answer = await call(this.#door(attempt.door).kv, "put", request, settings(attempt));
    return Number(answer.header?.revision ?? 0);
  }

  async read(key: string, attempt: Attempt) {
    const request = { key: this.#key(key) };
    const answer = await call(this.#door(attempt.door).kv, "range", request, settings(attempt));
    const [kv] = answer.kvs ?? [];
    return {
      value: kv && Buffer.from(kv.value ?? []).toString(),
      revision: Number(answer.header?.revision ?? 0),
    };
  }

  async list() {
    const entries: Record<string, string> = {};
    const { rangeEnd } = this.#range();
    let key = this.#key("");
    let revision = 0n;
    for (;;) {
      const request = { key, rangeEnd, limit: pageSize, ...(revision && { revision }) };
      const settings = { deadlineMillis: setUpMillisMax };
      const page = await call(this.#door(0).kv, "range", request, settings);
      revision ||= page.header?.revision ?? 0n;
      for (const kv of page.kvs ?? []) entries[this.#name(kv.key)] = String(kv.value ?? "");
      const last = page.kvs?.at(-1)?.key;
      if (!page.more || last === undefined) return { entries, revision: Number(revision) };
      key = Buffer.concat([last, Buffer.of(0)]);
    }
  }

  async *watch(after: number, door: number, signal: AbortSignal): AsyncGenerator<SeenBatch, void> {
    const stream = this.#door(door).watch.watch();
    const startRevision = BigInt(after + 1);
    const value = { ...this.#range(), startRevision, progressNotify: true };
    stream.write({ requestUnion: { $case: "createRequest", value } });
    const timer = setInterval(() => {
      stream.write({ requestUnion: { $case: "progressRequest", value: {} } });
    }, progressMillis);
    const cancel = () => stream.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    stream.on("error", () => {}); // The iteration reports it.
    try {
      for await (const response of stream as AsyncIterable<WatchResponse>) {
        if (response.compactRevision) {
          throw new StatusError(Code.outOfRange, "the revision has been compacted");
        }
        if (response.created) continue;
        const events = (response.events ?? []).map((event): SeenChange => {
          return {
            revision: Number(event.kv?.modRevision ?? 0),
            type: event.type === Event_EventType.DELETE ? "delete" : "put",
            key: this.#name(event.kv?.key),
            value: String(event.kv?.value ?? ""),
          };
        });
        const last = events.at(-1)?.revision;
        yield { revision: last ?? Number(response.header?.revision ?? 0), events };
      }
    } finally {
      clearInterval(timer);
      signal.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  async remove(): Promise<void> {
    await call(this.#door(0).kv, "deleteRange", this.#range(), { deadlineMillis: setUpMillisMax });
  }

  close(): void {
    for (const { kv, watch } of this.#doors) {
      kv.close();
      watch.close();
    }
  }

  #door(door: number) {
    return this.#doors[door % this.#doors.length] as { kv: KVClient; watch: WatchClient };
  }

  #key(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  #name(key: Uint8Array | undefined): string {
    return Buffer.from(key ?? [])
      .toString()
      .slice(this.#prefix.length);
  }

  #range() {
    // "0" follows "/".
    return { key: this.#key(""), rangeEnd: Buffer.from(`${this.#prefix.slice(0, -1)}0`) };
  }
}

function settings({ requestId, millis }: Attempt) {
  const metadata = new Metadata();
  metadata.set("trireme-request-id", requestId);
  return { metadata, deadlineMillis: millis };
}
