/** Watches held open through the whole load, whose events are found by the names in them. */
import { Call, type LoadClient, type RequestTemplate } from "../client/mod.ts";
import { type Histogram, newHistogram, record } from "./histogram.ts";
import type { SentTimes } from "./sent-times.ts";

const digits = 10;
const reopenMillis = 100;

export class Watchers {
  readonly #client: LoadClient;
  readonly #template: RequestTemplate;
  readonly #marker: Buffer;
  readonly #sent: SentTimes;
  readonly #seen: boolean[] = [];
  #waiting: () => void = () => {};
  #closed = false;
  events = 0;
  /** Watches that ended by themselves, by code. */
  readonly ended = new Map<string, string>();
  latency: Histogram = newHistogram();

  constructor(client: LoadClient, template: RequestTemplate, prefix: string, sent: SentTimes) {
    this.#client = client;
    this.#template = template;
    this.#marker = Buffer.from(prefix);
    this.#sent = sent;
  }

  /** Resolves when each has seen an event. */
  open(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#seen.push(false);
      this.#open(i);
    }
    return new Promise((resolve) => {
      this.#waiting = resolve;
      if (count === 0) resolve();
    });
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }

  #open(index: number): void {
    let rest: Buffer = Buffer.alloc(0);
    const call = new Call(
      ({ code, message }) => {
        if (this.#closed) return;
        this.ended.set(code, message);
        rest = Buffer.alloc(0);
        setTimeout(() => this.#send(call), reopenMillis);
      },
      (bytes, start, end) => {
        const piece = bytes.subarray(start, end);
        rest = this.#scan(rest.length === 0 ? piece : Buffer.concat([rest, piece]), index);
      },
    );
    this.#send(call);
  }

  #send(call: Call): void {
    if (!this.#closed) this.#client.send(this.#template, call, 0, 0, Number.POSITIVE_INFINITY);
  }

  /** Answers the end of the bytes, in which a name may have begun. */
  #scan(bytes: Buffer, index: number): Buffer {
    const marker = this.#marker;
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(marker, from);
      if (at < 0 || at + marker.length + digits > bytes.length) break;
      from = at + marker.length + digits;
      this.#event(numberAt(bytes, at + marker.length), index);
    }
    const kept = Math.max(from, bytes.length - marker.length - digits);
    return Buffer.from(bytes.subarray(kept));
  }

  #event(name: number, index: number): void {
    this.events++;
    const millis = this.#sent.since(name);
    if (millis !== undefined) record(this.latency, millis);
    if (this.#seen[index] === true) return;
    this.#seen[index] = true;
    if (this.#seen.every(Boolean)) this.#waiting();
  }
}

const zero = 0x30;

function numberAt(bytes: Buffer, at: number): number {
  let number = 0;
  for (let i = at; i < at + digits; i++) number = 10 * number + ((bytes[i] ?? zero) - zero);
  return number;
}
