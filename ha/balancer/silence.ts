/**
 * Whether the process at the other end of a connection still runs. A stopped process keeps its
 * connections, and so does a machine that has lost its power: nothing breaks, and nothing comes.
 *
 * ```
 *   heard ──nothing for suspectPingMillis: PING──► asked ──suspectMillis──► silent
 *     ▲                                              │                        │
 *     └────────────── any byte arrives ◄─────────────┴────────────────────────┘
 * ```
 * Silence is a suspicion, not a verdict: the connection stays, and ends only by HTTP/2's own
 * keepalive. Time is counted in the turns of a timer, between which the event loop has read all
 * sockets, so that a balancer that was held up itself suspects no master for it.
 */
import type { Connection } from "../http2/mod.ts";
import type { BalancerLimits } from "./limits.ts";

type Probed = Pick<Connection, "received" | "ping">;

export class SilenceProbe {
  readonly #connection: Probed;
  readonly #changed: () => void;
  readonly #askedAfter: number;
  readonly #silentAfter: number;
  readonly #turnMillis: number;
  #timer: NodeJS.Timeout | undefined;
  #received: number;
  /** Turns since the last byte came. */
  #turns = 0;

  /** `changed`: `silent` has changed. */
  constructor(connection: Probed, limits: BalancerLimits, changed: () => void) {
    this.#connection = connection;
    this.#changed = changed;
    this.#turnMillis = limits.suspectTurnMillis;
    this.#askedAfter = Math.ceil(limits.suspectPingMillis / this.#turnMillis);
    this.#silentAfter = this.#askedAfter + Math.ceil(limits.suspectMillis / this.#turnMillis);
    this.#received = connection.received;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.turn(), this.#turnMillis).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The other end has not answered a PING in time, and nothing else has come from it. */
  get silent(): boolean {
    return this.#turns >= this.#silentAfter;
  }

  /** How long nothing has come, in the probe's own count. */
  get silentMillis(): number {
    return this.#turns * this.#turnMillis;
  }

  /** The timer has fired. */
  turn(): void {
    const { received } = this.#connection;
    const before = this.silent;
    if (received !== this.#received) {
      this.#received = received;
      this.#turns = 0;
    } else {
      this.#turns++;
      if (this.#turns === this.#askedAfter) this.#connection.ping(() => {});
    }
    if (this.silent !== before) this.#changed();
  }
}
