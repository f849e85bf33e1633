/**
 * A client that makes many calls for little: on Trireme's own HTTP/2 engine, with requests that are
 * serialized beforehand, answers that are not decoded, and no promise a call.
 *
 *     const client = new LoadClient({ addresses: ["127.0.0.1:7443"], protocol: "grpc", tls });
 *     await client.connected(5_000);
 *     const call = new Call((ended) => console.log(ended.code));
 *     client.send(template, call, 1, 1);
 *
 * A call that finds no connection waits for one, up to its deadline. The client repeats nothing:
 * a measurement is to show what the server did.
 */
import { Call } from "./call.ts";
import { LoadConnection, type LoadTls } from "./connection.ts";
import type { RequestTemplate } from "./template.ts";

export interface LoadClientOptions {
  /** `host:port`; the connections are dealt out to them in turn. */
  readonly addresses: readonly string[];
  readonly protocol: "grpc" | "rest";
  readonly tls?: LoadTls | undefined;
  /** How many; by default one to each address. */
  readonly connections?: number | undefined;
  /** How long a call may take, by default 10 s. */
  readonly deadlineMillis?: number | undefined;
}

interface Waiting {
  readonly template: RequestTemplate;
  readonly call: Call;
  readonly name: number;
  readonly stamp: number;
}

const sweepMillis = 50;
const waitingMax = 100_000;

export class LoadClient {
  readonly #connections: readonly LoadConnection[];
  readonly #deadlineMillis: number;
  readonly #sweep: NodeJS.Timeout;
  /** Calls that found no connection. */
  #waiting: Waiting[] = [];
  #next = 0;
  #closed = false;

  constructor({ addresses, protocol, tls, connections, deadlineMillis }: LoadClientOptions) {
    if (addresses.length === 0) throw new Error("at least one address is needed");
    this.#deadlineMillis = deadlineMillis ?? 10_000;
    const ready = () => this.#drain();
    this.#connections = Array.from({ length: connections ?? addresses.length }, (_, i) => {
      const address = addresses[i % addresses.length] ?? "";
      return new LoadConnection({ address, protocol, tls, ready });
    });
    this.#sweep = setInterval(() => this.#expire(), sweepMillis);
  }

  /** Waits for every connection. Throws an Error that says what the last attempts came to. */
  async connected(withinMillis: number): Promise<void> {
    const until = performance.now() + withinMillis;
    while (this.#connections.some(({ ready }) => !ready)) {
      if (performance.now() > until) {
        const errors = this.#connections.map(({ lastError }) => lastError).filter(Boolean);
        throw new Error([...new Set(errors)].join("; ") || "it does not answer");
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /**
   * Sends now, or as soon as there is a connection. The call must not be under way. `deadlineMillis`
   * replaces the client's: Infinity for a watch.
   */
  send(
    template: RequestTemplate,
    call: Call,
    name = 0,
    stamp = 0,
    deadlineMillis = this.#deadlineMillis,
  ): void {
    const now = performance.now();
    call.begin(now, now + deadlineMillis);
    if (this.#trySend(template, call, name, stamp)) return;
    if (this.#closed || this.#waiting.length >= waitingMax) {
      call.end("UNAVAILABLE", this.#closed ? "the client is closed" : "too many calls wait");
      return;
    }
    this.#waiting.push({ template, call, name, stamp });
  }

  /** The same for a single call; answers its body. Throws an Error with code and message. */
  async ask(template: RequestTemplate, name = 0, stamp = 0): Promise<Buffer> {
    const pieces: Buffer[] = [];
    return new Promise((resolve, reject) => {
      const call = new Call(
        ({ code, message }) => {
          if (code === "OK") resolve(Buffer.concat(pieces));
          else reject(new CallError(code, message));
        },
        (bytes, start, end) => pieces.push(Buffer.from(bytes.subarray(start, end))),
      );
      this.send(template, call, name, stamp);
    });
  }

  /** Calls under way end as UNAVAILABLE. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const connection of this.#connections) connection.close();
    for (const { call } of this.#waiting.splice(0)) call.end("UNAVAILABLE", "the client is closed");
  }

  #trySend(template: RequestTemplate, call: Call, name: number, stamp: number): boolean {
    const connections = this.#connections;
    for (let tried = 0; tried < connections.length; tried++) {
      const at = this.#next < connections.length ? this.#next : 0;
      this.#next = at + 1;
      if (connections[at]?.send(template, call, name, stamp)) return true;
    }
    return false;
  }

  #drain(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [at, { template, call, name, stamp }] of waiting.entries()) {
      if (this.#trySend(template, call, name, stamp)) continue;
      this.#waiting.push(...waiting.slice(at));
      return;
    }
  }

  #expire(): void {
    const now = performance.now();
    for (const connection of this.#connections) connection.sweep(now);
    this.#drain();
    const late = this.#waiting.filter(({ call }) => call.deadlineAt <= now);
    if (late.length === 0) return;
    this.#waiting = this.#waiting.filter(({ call }) => call.deadlineAt > now);
    const why = this.#connections.find(({ lastError }) => lastError)?.lastError;
    for (const { call } of late) call.end("UNAVAILABLE", why ?? "no connection");
  }
}

export class CallError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message === "" ? code : `${code}: ${message}`);
    this.code = code;
  }
}
