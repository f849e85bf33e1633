/** The masters: which there are, which are healthy, which one leads, and which one gets the next call. */
import type { MemberStatus } from "../../proto/gen/cluster.ts";
import type { ClientTls } from "../rpc/address.ts";
import type { Log } from "../runtime/types.ts";
import type { Link } from "./calls.ts";
import { closeMaster, Departures } from "./departures.ts";
import type { BalancerLimits } from "./limits.ts";
import {
  type Choice,
  hasRoom,
  isHealthy,
  isSilent,
  type Load,
  type Master,
  type MasterAddress,
  silentMillisOf,
  upstreamOf,
} from "./master.ts";
import { MasterCall } from "./master-call.ts";
import { type Faces, Membership } from "./membership.ts";
import { monitor } from "./monitor.ts";
import { Outcomes, Outliers } from "./outliers.ts";
import { RestMasterCall } from "./rest-master-call.ts";
import { Runs } from "./runs.ts";
import { SlowStart } from "./slow-start.ts";
import { Upstream } from "./upstream.ts";

export interface FleetOptions {
  readonly masters: readonly MasterAddress[];
  /** Absent: the masters are these, whatever the cluster's members are. */
  readonly faces?: Faces | undefined;
  readonly tls?: ClientTls | undefined;
  readonly log: Log;
  readonly limits: BalancerLimits;
  /** A master's health or the leader has changed. */
  changed(): void;
  /** The master is suspected to be stopped, and another one is not. */
  suspected(master: Master): void;
}

/** The masters that serve one protocol, and those of them that are left out as outliers. */
interface Lane {
  takers: readonly Master[];
  ejected: readonly Master[];
  readonly runs: Runs;
}

export class Fleet {
  readonly #options: FleetOptions;
  #masters: readonly Master[];
  readonly #membership: Membership;
  readonly #departures: Departures;
  readonly #stops = new Map<Master, () => void>();
  readonly #slowStart: SlowStart;
  readonly outliers: Outliers;
  readonly #lanes: Readonly<Record<Link, Lane>> = {
    grpc: { takers: [], ejected: [], runs: new Runs() },
    rest: { takers: [], ejected: [], runs: new Runs() },
  };
  /** Streams for which a master was chosen, so far. */
  streamsPlaced = 0;
  #leaderTimer: NodeJS.Timeout | undefined;
  /** Writes wait for a leader until the timer has run out; then any healthy master will do. */
  #leaderWaitOver = false;
  #leader: Master | undefined;
  #turn = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    const { log, limits } = options;
    this.#slowStart = new SlowStart(limits);
    this.#membership = new Membership(options.masters, options.faces);
    this.#departures = new Departures(limits.departedMillis);
    this.outliers = new Outliers({
      ...{ log, limits, isHealthy },
      masters: () => this.masters,
      hasLeader: () => this.#leader !== undefined,
      changed: () => this.#changed(),
    });
    this.#masters = options.masters.map((master) => this.#start(master));
    this.#watchLeader();
  }

  /** Those of the cluster, as far as it is known; at first the configured ones. */
  get masters(): readonly Master[] {
    return this.#masters;
  }

  /** Those that left the cluster, and still have calls under way. */
  get departed(): Iterable<Master> {
    return this.#departures;
  }

  get healthy(): readonly Master[] {
    return this.masters.filter(isHealthy);
  }

  /**
   * The masters that get new calls: the healthy ones without the outliers. Never empty while any
   * master is healthy.
   */
  get takers(): readonly Master[] {
    return this.#lanes.grpc.takers;
  }

  /** Percent of its fair share of unary calls that the master gets. */
  sharePercent(master: Master): number {
    return this.takers.includes(master) ? Math.floor(100 * this.#slowStart.share(master)) : 0;
  }

  /**
   * The master that leads, by the word of the highest term; undefined when it cannot be reached.
   */
  get leader(): Master | undefined {
    return this.#leader;
  }

  /**
   * The taker with the least load, but not `except` while there is another; an outlier when all the
   * others have as much as they take. Single calls that come together stay together (see `Runs`),
   * but while a master warms up each is dealt on its own. It makes nothing: it runs for every call.
   */
  choose(load: Load, except: Master | undefined, link: Link): Choice {
    const lane = this.#lanes[link];
    const { takers, ejected } = lane;
    if (takers.length === 0 && ejected.length === 0) return "none";
    const runs = load === "unary" && !this.#slowStart.active ? lane.runs : undefined;
    const master = runs?.master;
    if (master !== undefined && master !== except && takesMore(master, link)) {
      runs?.step();
      return master;
    }
    const best =
      this.#among(takers, load, except, link) ?? this.#among(ejected, load, except, link);
    if (best === undefined) return "full";
    if (load === "streams") {
      this.streamsPlaced++;
      return best;
    }
    runs?.begin(best, this.#underWay());
    return best;
  }

  /**
   * The leader. Without a leader it is no master until the leader wait is over, and then any
   * master: members forward writes.
   */
  chooseForWrite(except: Master | undefined, link: Link): Choice {
    const leader = this.leader;
    if (leader === undefined) {
      return this.#leaderWaitOver ? this.choose("unary", except, link) : "none";
    }
    const first = leader !== except && takesMore(leader, link);
    return first ? leader : this.choose("unary", except, link);
  }

  /** As `choose`, and without a taker any master that is connected and not silent. */
  chooseAny(load: Load, except: Master | undefined, link: Link): Choice {
    const choice = this.choose(load, except, link);
    if (choice !== "none") return choice;
    const connected = (master: Master) => upstreamOf(master, link)?.connected === true;
    const heard = this.masters.filter((master) => connected(master) && !isSilent(master));
    if (heard.length === 0) return "none";
    const best = this.#leastLoaded(heard, load, except, link);
    return best ?? this.#leastLoaded(heard, load, undefined, link) ?? "full";
  }

  close(): void {
    clearTimeout(this.#leaderTimer);
    this.#slowStart.close();
    this.outliers.close();
    for (const stop of this.#stops.values()) stop();
    for (const master of this.masters) closeMaster(master);
    this.#departures.close();
  }

  /** Takes up the masters that joined the cluster, and leaves those that are no members any more. */
  #follow(): void {
    const { joined, left } = this.#membership.changes(this.masters);
    if (left.length + joined.length === 0) return;
    const kept = this.masters.filter((master) => !left.includes(master));
    this.#masters = [...kept, ...joined.map((one) => this.#start(one))];
    for (const master of left) {
      this.#stops.get(master)?.();
      this.#stops.delete(master);
      this.outliers.left(master);
      this.#departures.add(master);
    }
    this.#options.log.info("the cluster has other masters", {
      joined: joined.map(({ name }) => name),
      left: left.map(({ name }) => name),
    });
  }

  #among(
    masters: readonly Master[],
    load: Load,
    except: Master | undefined,
    link: Link,
  ): Master | undefined {
    const warming = load === "unary" && this.#slowStart.active;
    const best = warming
      ? this.#slowStart.choose(masters, except, link)
      : this.#leastLoaded(masters, load, except, link);
    if (best !== undefined || except === undefined) return best;
    return hasRoom(except, link) && masters.includes(except) ? except : undefined;
  }

  #leastLoaded(
    masters: readonly Master[],
    load: Load,
    except: Master | undefined,
    link: Link,
  ): Master | undefined {
    // Equals take turns.
    const turn = this.#turn++;
    const count = masters.length;
    let best: Master | undefined;
    for (let n = 0; n < count; n++) {
      const master = masters[(turn + n) % count];
      if (master === undefined || master === except || !hasRoom(master, link)) continue;
      if (best === undefined || master[load] < best[load]) best = master;
    }
    return best;
  }

  #underWay(): number {
    let sum = 0;
    for (const { unary } of this.masters) sum += unary;
    return sum;
  }

  #start({ name, address, rest: restAddress }: MasterAddress): Master {
    const { tls, limits } = this.#options;
    const log = this.#options.log.child({ master: name });
    const changed = () => this.#changed();
    const connect = (at: string, Call: typeof MasterCall) =>
      new Upstream({ address: at, tls, log, limits, changed, Call });
    const master: Master = {
      name,
      address,
      restAddress,
      upstream: connect(address, MasterCall),
      rest: restAddress === undefined ? undefined : connect(restAddress, RestMasterCall),
      status: undefined,
      unary: 0,
      streams: 0,
      attempts: 0,
      failures: 0,
      faults: 0,
      outcomes: new Outcomes(),
      suspected: false,
      ejected: false,
      ejections: 0,
      memberName: undefined,
      departed: false,
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
        if (status?.name) master.memberName = status.name;
        changed();
      },
    });
    this.#stops.set(master, stop);
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
    this.#follow();
    const suspects = this.#suspect();
    this.#watchLeader();
    this.outliers.review();
    const healthy = this.healthy;
    const before = this.takers;
    const { grpc, rest } = this.#lanes;
    grpc.takers = healthy.filter(({ ejected }) => !ejected);
    grpc.ejected = healthy.filter(({ ejected }) => ejected);
    rest.takers = grpc.takers.filter((master) => master.rest?.connected === true);
    rest.ejected = grpc.ejected.filter((master) => master.rest?.connected === true);
    for (const master of this.takers) {
      if (!before.includes(master)) this.#slowStart.begin(master);
    }
    this.#options.changed();
    for (const master of suspects) this.#options.suspected(master);
  }

  /** The masters to suspect from now on. While all are silent, none is suspected. */
  #suspect(): readonly Master[] {
    const healthy = this.masters.filter(isHealthy);
    const heard = healthy.some((master) => !isSilent(master));
    const suspects: Master[] = [];
    for (const master of this.masters) {
      const suspected = heard && isSilent(master);
      if (suspected === master.suspected) continue;
      master.suspected = suspected;
      if (suspected) suspects.push(master);
      const silentMillis = silentMillisOf(master);
      const { log } = this.#options;
      if (suspected) log.warn("master is silent", { master: master.name, silentMillis });
      else log.info("master is heard again, or gone", { master: master.name });
    }
    return suspects;
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

function takesMore(master: Master, link: Link): boolean {
  return isHealthy(master) && !master.ejected && hasRoom(master, link);
}

function isReachable(master: Master): boolean {
  return master.status !== undefined && master.upstream.connected && !master.suspected;
}

function leaderNamed(status: MemberStatus, own: string): string | undefined {
  if (status.role === "leader") return status.name || own;
  return status.leaderName || undefined;
}
