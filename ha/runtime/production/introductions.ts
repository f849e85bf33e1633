/**
 * Introductions: how members that know each other's addresses learn each other's identities.
 *
 * ```
 *   caller   ── { nonce } ─────────────────────────►  answerer    over a libp2p stream, on which
 *   caller   ◄─ { nonce, proof } ─────────────────   answerer    Noise has proved both identities
 *   caller   ── { proof, name, addresses } ────────►  answerer
 *   caller   ◄─ { name, introduction } ───────────   answerer
 * ```
 *
 * A proof is a MAC under the cluster's token over both nonces and both identities: a caller
 * with another token is refused before it learns anything, and a proof is good for one call.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Introduction, Stranger } from "../types.ts";
import { type Channel, type PeerStream, streamChannel } from "./peer-channel.ts";
import {
  FrameError,
  FrameKind,
  FrameReader,
  frameHeaderBytes,
  writeFrameHeader,
} from "./peer-frames.ts";

export const introductionProtocol = "/trireme/introduction/1";
export const introductionMillisMax = 3_000;
const messageBytesMax = 64 * 1024;
const messagesMax = 4;

export interface IntroductionOptions {
  /** The same on all members of the cluster. */
  readonly token: string;
  readonly name: string;
  readonly addresses: readonly string[];
}

export interface Introduced {
  /** libp2p peer id of the member that answered. */
  readonly identity: string;
  readonly name: string;
  readonly introduction: Introduction;
}

/** The two ends hold different tokens. */
export class TokenError extends Error {
  override readonly name = "TokenError";
}

interface Ends {
  readonly caller: string;
  readonly answerer: string;
}

/** Rejects with a {@link TokenError}, or with what broke the stream. */
export async function introduceTo(
  stream: PeerStream,
  { token, name, addresses }: IntroductionOptions,
  ends: Ends,
): Promise<Introduced> {
  const exchange = new Exchange(stream);
  try {
    const nonce = randomBytes(32).toString("base64");
    exchange.send({ nonce });
    const challenge = await exchange.next();
    if (text(challenge, "refusal")) throw new TokenError(text(challenge, "refusal"));
    const nonces = `${nonce} ${text(challenge, "nonce")}`;
    if (!sameProof(text(challenge, "proof"), proof(token, "answerer", nonces, ends))) {
      throw new TokenError(otherToken);
    }
    exchange.send({ proof: proof(token, "caller", nonces, ends), name, addresses });
    const answer = await exchange.next();
    const introduction = answer["introduction"];
    if (typeof introduction !== "object" || introduction === null) {
      throw new FrameError("an introduction is answered with something else");
    }
    return { identity: ends.answerer, name: text(answer, "name"), introduction };
  } finally {
    exchange.end();
  }
}

/** Answers one caller; nothing is thrown. */
export async function answerIntroduction(
  stream: PeerStream,
  { token, name }: IntroductionOptions,
  ends: Ends,
  answer: (stranger: Stranger) => Promise<Introduction>,
): Promise<Stranger | undefined> {
  const exchange = new Exchange(stream);
  const hello = await exchange.next();
  const nonce = randomBytes(32).toString("base64");
  const nonces = `${text(hello, "nonce")} ${nonce}`;
  exchange.send({ nonce, proof: proof(token, "answerer", nonces, ends) });
  const claim = await exchange.next();
  if (!sameProof(text(claim, "proof"), proof(token, "caller", nonces, ends))) {
    exchange.send({ introduction: { refusal: otherToken } });
    return undefined;
  }
  const addresses = claim["addresses"];
  const stranger: Stranger = {
    identity: ends.caller,
    name: text(claim, "name"),
    addresses: Array.isArray(addresses) ? addresses.map(String).slice(0, 16) : [],
  };
  exchange.send({ name, introduction: await answer(stranger) });
  return stranger;
}

const otherToken = "etcdserver: the other end has another --initial-cluster-token";

function proof(token: string, role: string, nonces: string, { caller, answerer }: Ends): string {
  const content = `trireme introduction\n${role}\n${nonces}\n${caller}\n${answerer}`;
  return createHmac("sha256", token).update(content).digest("base64");
}

function sameProof(given: string, expected: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(expected)];
  return left.length === right.length && timingSafeEqual(left, right);
}

type Fields = Readonly<Record<string, unknown>>;

function text(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === "string" ? value : "";
}

/** JSON objects, a few each way, one frame each. */
class Exchange {
  readonly #channel: Channel;
  readonly #arrived: Fields[] = [];
  #count = 0;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(stream: PeerStream) {
    this.#channel = streamChannel(stream, {
      reader: new FrameReader((kind, payload) => this.#take(kind, payload)),
      closed: () => this.#fail(new Error("the introduction was broken off")),
    });
    const timer = setTimeout(() => {
      this.#fail(new Error(`the introduction took more than ${introductionMillisMax} ms`));
    }, introductionMillisMax);
    timer.unref();
  }

  send(fields: Fields): void {
    const payload = Buffer.from(JSON.stringify(fields));
    const frame = Buffer.alloc(frameHeaderBytes + payload.length);
    writeFrameHeader(frame, 0, FrameKind.message, payload.length);
    payload.copy(frame, frameHeaderBytes);
    this.#channel.send(frame);
  }

  async next(): Promise<Fields> {
    for (;;) {
      const fields = this.#arrived.shift();
      if (fields) return fields;
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  end(): void {
    this.#channel.close();
  }

  #take(kind: FrameKind, payload: Uint8Array): void {
    if (kind !== FrameKind.message || payload.length > messageBytesMax) {
      throw new FrameError("an introduction is a few short messages");
    }
    if (++this.#count > messagesMax) throw new FrameError("an introduction goes on and on");
    let fields: unknown;
    try {
      fields = JSON.parse(Buffer.from(payload).toString());
    } catch {
      throw new FrameError("an introduction is not JSON");
    }
    if (typeof fields !== "object" || fields === null) throw new FrameError("no JSON object");
    this.#arrived.push(fields as Fields);
    this.#wake?.();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}
