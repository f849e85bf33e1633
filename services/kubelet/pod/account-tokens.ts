/** Tokens of the service accounts of this node's pods: made, kept, and made anew in time. */
import type { LoopClock } from "../../client/mod.ts";
import type { PodFacts } from "./environment.ts";

/** What a pod's volume asks for. */
export interface AccountTokenRequest {
  readonly namespace: string;
  readonly serviceAccountName: string;
  readonly podName: string;
  readonly podUid: string;
  /** "": the API itself. */
  readonly audience: string;
  readonly expirationSeconds: number;
}

export interface AccountToken {
  readonly token: string;
  /** Unix milliseconds. */
  readonly expiresAtMillis: number;
}

/** Asks the API for a token. May throw when the API is away or the account does not exist. */
export type AskForToken = (request: AccountTokenRequest) => Promise<AccountToken>;

interface Kept extends AccountToken {
  readonly renewAtMillis: number;
}

/** Upstream's token manager: a token is made anew after 80 % of its life, or after a day. */
const renewedAfter = { part: 0.8, millis: 24 * 3_600_000 } as const;

/** The tokens of one pod; a pod has as many as its volumes have sources of them. */
export class AccountTokens {
  readonly #ask: AskForToken;
  readonly #clock: Pick<LoopClock, "wallMillis">;
  readonly #kept = new Map<string, Kept>();

  constructor(ask: AskForToken, clock: Pick<LoopClock, "wallMillis">) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** A token that is valid now. One that cannot be made anew yet serves until it expires. */
  async get(facts: PodFacts, audience: string, expirationSeconds: number): Promise<string> {
    const key = `${expirationSeconds} ${audience}`;
    const now = this.#clock.wallMillis();
    const kept = this.#kept.get(key);
    if (kept !== undefined && now < kept.renewAtMillis) return kept.token;
    const { metadata = {}, spec = {} } = facts.pod;
    try {
      const made = await this.#ask({
        namespace: metadata.namespace ?? "",
        serviceAccountName: spec.serviceAccountName || "default",
        podName: metadata.name ?? "",
        podUid: metadata.uid ?? "",
        audience,
        expirationSeconds,
      });
      const life = Math.max(0, made.expiresAtMillis - now);
      const renewAtMillis = now + Math.min(life * renewedAfter.part, renewedAfter.millis);
      this.#kept.set(key, { ...made, renewAtMillis });
      return made.token;
    } catch (error) {
      if (kept !== undefined && now < kept.expiresAtMillis) return kept.token;
      throw error;
    }
  }
}
