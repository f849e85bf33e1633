/** The masters: who is healthy, who leads, who gets the next call, and who waits for one. */
import type { MemberStatus } from "../../proto/gen/cluster.ts";
import type { ClientTls } from "../rpc/client.ts";
import type { Log } from "../runtime/types.ts";
import type { BalancerLimits } from "./limits.ts";
import { monitor } from "./monitor.ts";
import { Upstream } from "./upstream.ts";

export interface MasterAddress {
  /** As the master names itself in `MemberStatus.name`. */
  readonly name: string;
  /** `host:port`. */
  readonly address: string;
}

export interface FleetOptions {
  readonly masters: readonly MasterAddress[];
  readonly tls?: ClientTls | undefined;
  readonly log: Log;
  readonly limits: BalancerLimits;
  /** A master's health or the leader has changed. */
  changed(): void;
}

export interface Master {
  readonly name: string;
  readonly address: string;
  readonly upstream: Upstream;
  /** What it last said of itself; undefined while its status stream is broken. */
  status: MemberStatus | undefined;
  /** Calls under way. */
  unary: number;
  streams: number;
  /** Attempts so far, and how many of them it failed. */
  attempts: number;
  failures: number;
}

/** Which load is to be even: that of single calls or that of streams. */
export type Load = "unary" | "streams";

export type Choice = Master | "none" | "full";

export class Fleet {
  readonly masters: readonly Master[];
  readonly #options: FleetOptions;
  readonly #stops: (() => void)[] = [];
  /** Streams for which a master was chosen, so far. */
  streamsPlaced = 0;
  #leaderTimer: NodeJS.Timeout | undefined;
  /** Writes wait for a leader until the timer has run out; then any healthy master will do. */
  #leaderWaitOver = false;
  #leader: Master | undefined;
  #turn = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.masters = options.masters.map((master) => this.#start(master));
    this.#watchLeader();
  }

  get healthy(): readonly Master[] {
    return this.masters.filter(isHealthy);
  }

  /** The master that leads, by the word of the highest term; undefined when it cannot be reached. */
  get leader(): Master | undefined {
    return this.#leader;
  }

  /** The healthy master with the least load, but not `except` while there is another. */
  choose(load: Load, except: Master | undefined): Choice {
    const healthy = this.healthy;
    if (healthy.length === 0) return "none";
    const able = healthy.filter((master) => master.upstream.hasCapacity);
    const wanted = able.length > 1 ? able.filter((master) => master !== except) : able;
    // Equals take turns.
    const turn = this.#turn++;
    let best: Master | undefined;
    for (let n = 0; n < wanted.length; n++) {
      const master = wanted[(turn + n) % wanted.length];
      if (master !== undefined && (best === undefined || master[load] < best[load])) best = master;
    }
    if (load === "streams" && best !== undefined) this.streamsPlaced++;
    return best ?? "full";
  }

  /** The leader; for want of one, nobody for a while, and then anybody: members forward writes. */
  chooseForWrite(except: Master | undefined): Choice {
    const leader = this.leader;
    if (leader === undefined) {
      return this.#leaderWaitOver ? this.choose("unary", except) : "none";
    }
    const usable = leader !== except && isHealthy(leader) && leader.upstream.hasCapacity;
    return usable ? leader : this.choose("unary", except);
  }

  close(): void {
    clearTimeout(this.#leaderTimer);
    for (const stop of this.#stops) stop();
    for (const master of this.masters) master.upstream.close();
  }

  #start({ name, address }: MasterAddress): Master {
    const { tls, limits } = this.#options;
    const log = this.#options.log.child({ master: name });
    const changed = () => this.#changed();
    const master: Master = {
      name,
      address,
      upstream: new Upstream({ address, tls, log, limits, changed }),
      status: undefined,
      unary: 0,
      streams: 0,
      attempts: 0,
      failures: 0,
    };
    const stop = monitor({
      address,
      tls,
      log,
      limits,
      changed: (status) => {
        if ((status?.ready === true) !== (master.status?.ready === true)) {
          log.info(status?.ready === true ? "master is ready" : "master is not ready");
        }
        if (master.status === undefined && status?.name !== undefined && status.name !== name) {
          log.warn("master has another name: its leadership will not be known", {
            name: status.name,
          });
        }
        master.status = status;
        changed();
      },
    });
    this.#stops.push(stop);
    return master;
  }

  #leaderName(): string | undefined {
    let best: MemberStatus | undefined;
    for (const master of this.masters) {
      const { status } = master;
      const name = status === undefined ? undefined : leaderNamed(status, master.name);
      if (status === undefined || name === undefined) continue;
      if (best === undefined || (status.term ?? 0) > (best.term ?? 0)) {
        best = { ...status, leaderName: name };
      }
    }
    return best?.leaderName;
  }

  #changed(): void {
    this.#watchLeader();
    this.#options.changed();
  }

  #watchLeader(): void {
    const name = this.#leaderName();
    this.#leader = this.masters.find((master) => master.name === name && isReachable(master));
    if (this.#leader !== undefined) {
      clearTimeout(this.#leaderTimer);
      this.#leaderTimer = undefined;
      this.#leaderWaitOver = false;
    } else if (this.#leaderTimer === undefined && !this.#leaderWaitOver) {
      this.#leaderTimer = setTimeout(() => {
        this.#leaderTimer = undefined;
        this.#leaderWaitOver = true;
        this.#options.changed();
      }, this.#options.limits.leaderWaitMillis);
    }
  }
}

/** Gets new calls: it says it is ready, and there is a connection to it. */
export function isHealthy(master: Master): boolean {
  return master.status?.ready === true && master.upstream.connected;
}

function isReachable(master: Master): boolean {
  return master.status !== undefined && master.upstream.connected;
}

function leaderNamed(status: MemberStatus, own: string): string | undefined {
  if (status.role === "leader") return status.name || own;
  return status.leaderName || undefined;
}
