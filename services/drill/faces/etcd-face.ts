/** etcd's API: each key is a key. */
import { Channel } from "../../../ha/rpc/channel/channel.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { KVService, WatchService } from "../../../proto/gen/etcd.ts";
import { Event_EventType } from "../../../proto/gen/etcd_kv.ts";
import type { SeenChange } from "../evidence.ts";
import {
  type Attempt,
  attemptCall,
  connections,
  type Face,
  type FaceOptions,
  type SeenBatch,
  setUpMillisMax,
  within,
} from "./face.ts";

const pageSize = 5_000n;
/** How often an idle watch asks how far it has come. */
const progressMillis = 500;

export class EtcdFace implements Face {
  readonly name = "etcd";
  readonly #prefix: string;
  readonly #doors: readonly Channel[];

  constructor({ addresses, tls, run }: FaceOptions) {
    this.#prefix = `/drill/${run}/`;
    this.#doors = addresses.map((address) => new Channel({ address, tls, ...connections }));
  }

  get doors(): number {
    return this.#doors.length;
  }

  async prepare(_attempt: Attempt): Promise<void> {}

  create(key: string, value: string, attempt: Attempt): Promise<number> {
    return this.write(key, value, attempt);
  }

  async write(key: string, value: string, attempt: Attempt): Promise<number> {
    const request = { key: this.#key(key), value: Buffer.from(value) };
    const answer = await this.#door(attempt.door).unary(
      KVService.put,
      request,
      attemptCall(attempt),
    );
    return Number(answer.header?.revision ?? 0);
  }

  async read(key: string, attempt: Attempt) {
    const request = { key: this.#key(key) };
    const answer = await this.#door(attempt.door).unary(
      KVService.range,
      request,
      attemptCall(attempt),
    );
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
      const page = await this.#door(0).unary(KVService.range, request, within(setUpMillisMax));
      revision ||= page.header?.revision ?? 0n;
      for (const kv of page.kvs ?? []) entries[this.#name(kv.key)] = String(kv.value ?? "");
      const last = page.kvs?.at(-1)?.key;
      if (!page.more || last === undefined) return { entries, revision: Number(revision) };
      key = Buffer.concat([last, Buffer.of(0)]);
    }
  }

  async *watch(after: number, door: number, signal: AbortSignal): AsyncGenerator<SeenBatch, void> {
    const stream = await this.#door(door).duplex(WatchService.watch, { fields: [], signal });
    const startRevision = BigInt(after + 1);
    const value = { ...this.#range(), startRevision, progressNotify: true };
    stream.send({ requestUnion: { $case: "createRequest", value } });
    const timer = setInterval(() => {
      stream.send({ requestUnion: { $case: "progressRequest", value: {} } });
    }, progressMillis);
    try {
      for await (const response of stream.answers()) {
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
    }
  }

  async remove(attempt: Attempt): Promise<void> {
    const door = this.#door(attempt.door);
    await door.unary(KVService.deleteRange, this.#range(), attemptCall(attempt));
  }

  close(): void {
    for (const door of this.#doors) door.close();
  }

  #door(door: number): Channel {
    return this.#doors[door % this.#doors.length] as Channel;
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
