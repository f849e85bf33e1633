/**
 * How a member without data comes to take part: as a founder, once, or as a joiner that the cluster
 * has added.
 *
 * A member that has lost its data has forgotten its votes and its log, so it must never take part
 * again under its old name: it could help to elect a leader that lacks acknowledged writes. Its
 * peers can tell, because every disk has an incarnation, a number drawn at random, and the
 * membership says with which incarnation each member takes part.
 *
 * ```
 *   founder ── Hello(0) ─────────► every peer          a founded peer answers: bootstrapped before
 *   coordinator ── Hello(c) ─────► every founder
 *   founder: writes (f, drawn for c), unless it has that already
 *   founder ── no data, f ───────► coordinator
 *   coordinator, when every founder has answered: writes the cluster with all incarnations
 *   coordinator ── welcome ──────► every founder       which writes it too, if f is among them
 * ```
 *
 * The founder with the lowest id is the coordinator. Why a write that was acknowledged is not lost
 * as long as one member that stored it keeps its disk:
 *
 * 1. A coordinator decides once per incarnation, since it writes its decision before telling it.
 * 2. A founder's incarnation is drawn for one incarnation of the coordinator and told to no other,
 *    so the founder can adopt only that coordinator's decision, and it adopts at most one.
 * 3. Suppose a member S stored a write in a cluster that the coordinator c decided, and another
 *    incarnation d of the coordinator decides again. Then S has told d "no data" under an
 *    incarnation drawn for d: before it adopted c's decision, which by 2 it could not adopt after
 *    that; or after it, when it would have said that it has data. Both contradict the supposition.
 */
import type { Hello, RosterNews, Standing } from "../../proto/gen/raft.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel, MemberId, Runtime } from "../runtime/types.ts";
import { type ClusterId, clusterIdOf } from "./cluster-id.ts";
import {
  coordinatorOf,
  type DataDirectory,
  drawIncarnation,
  foundation,
  writeDirectory,
} from "./data-directory.ts";
import { decodeFrame } from "./frames.ts";
import { limits } from "./limits.ts";
import { Outbox } from "./outbox.ts";
import type { PeerLinks } from "./peer-links.ts";
import type { MemberOptions } from "./types.ts";
import { type RosterMeta, rosterMetaFromWire, rosterMetaToWire } from "./wire.ts";

export const Verdict = {
  /** The teller has no data either. */
  noData: 1,
  /** The asker takes part, with the incarnation that it has. */
  welcome: 2,
  /** The asker takes part with another disk, which it has lost. */
  bootstrapped: 3,
  /** The asker has been removed. */
  removed: 4,
  /** The teller was started with other founders, or another token. */
  otherFounders: 5,
} as const;

export class Founding {
  readonly runtime: Runtime;
  readonly options: MemberOptions;
  readonly #links: PeerLinks;
  readonly #outbox: Outbox;
  readonly #joins: boolean;
  readonly #coordinates: boolean;
  /** Of founders and token; 0: this member joins. */
  readonly #digest: number;
  /**
   * The founders that have said that they have no data; to the coordinator, with an incarnation.
   */
  readonly #without = new Map<MemberId, number>();
  readonly #others = new Set<MemberId>();
  readonly #timers: Cancel[] = [];
  readonly #outcome = Promise.withResolvers<DataDirectory>();
  #directory: DataDirectory;
  #writing = false;
  #ended = false;
  #news: RosterNews | undefined;
  /** Incarnation of the coordinator that asks, while another was answered before; 0: none. */
  #turningTo = 0;

  constructor(
    runtime: Runtime,
    options: MemberOptions,
    directory: DataDirectory,
    links: PeerLinks,
  ) {
    this.runtime = runtime;
    this.options = options;
    this.#directory = directory;
    this.#links = links;
    this.#outbox = new Outbox(runtime.network, 0);
    this.#joins = options.initialClusterState === "existing";
    this.#coordinates = !this.#joins && coordinatorOf(options) === options.id;
    this.#digest = this.#joins ? 0 : this.#clusterId("");
  }

  /**
   * Resolves when this member takes part in a cluster, and its disk says so. Rejects with a
   * StatusError when it may not: its data are lost, or it has been removed.
   */
  async run(): Promise<DataDirectory> {
    const { clock } = this.runtime;
    const { id, cluster } = this.options;
    this.#links.setPeers(cluster.filter((peer) => peer.id !== id));
    this.#links.handOver({
      message: (from, bytes) => this.#frame(from, bytes),
      // Its name and identity, which the network tells, are all that other founders need.
      introduction: async () => ({}),
      link: (peer, up) => {
        if (up) this.#ask(peer);
        else this.#without.delete(peer);
      },
    });
    try {
      await this.#links.start();
      this.#timers.push(
        clock.every(limits.helloMillis, () => this.#askAll()),
        clock.every(limits.foundingReportMillis, () => this.#report()),
      );
      this.#askAll();
      this.#foundIfAllAnswered();
      return await this.#outcome.promise;
    } finally {
      this.#ended = true;
      for (const cancel of this.#timers.splice(0)) cancel();
      this.#links.handOver(undefined);
    }
  }

  /** The last roster that a member of the cluster has sent. */
  get news(): RosterNews | undefined {
    return this.#news;
  }

  #clusterId(suffix: string): ClusterId {
    const { cluster, clusterToken = "" } = this.options;
    const founders = cluster.map(({ identity }) => identity);
    return clusterIdOf(founders, `${clusterToken}${suffix}`);
  }

  #askAll(): void {
    for (const peer of this.#links.linked) this.#ask(peer);
  }

  #ask(peer: MemberId): void {
    const hello: Hello = { incarnation: this.#directory.incarnation, founders: this.#digest };
    this.#outbox.to(peer).hello = hello;
    this.#outbox.flush();
  }

  #tell(peer: MemberId, standing: Standing): void {
    this.#outbox.to(peer).standing = standing;
    this.#outbox.flush();
  }

  #frame(from: MemberId, bytes: Uint8Array): void {
    let frame: ReturnType<typeof decodeFrame>;
    try {
      frame = decodeFrame(bytes);
    } catch (error) {
      this.runtime.log.warn("a frame cannot be read", { from, error });
      return;
    }
    // The rest is for members that take part.
    this.#news = frame.news ?? this.#news;
    if (frame.hello) this.#hello(from, frame.hello);
    if (frame.standing) this.#standing(from, frame.standing);
  }

  /** A founder names an incarnation to the coordinator alone, one that was drawn for it. */
  #hello(from: MemberId, { incarnation: asked = 0, founders = 0 }: Hello): void {
    if (this.#joins || this.#ended || this.#writing || founders === 0) return;
    if (founders !== this.#digest) {
      this.#tell(from, { asked, verdict: Verdict.otherFounders });
      return;
    }
    // Its link to this member is up, so that it can answer now.
    if (this.#coordinates && !this.#without.has(from)) this.#ask(from);
    const coordinator = coordinatorOf(this.options);
    if (from !== coordinator) {
      this.#tell(from, { asked, verdict: Verdict.noData });
      return;
    }
    if (asked === 0) return;
    const answer = () => {
      const { incarnation } = this.#directory;
      this.#tell(from, { asked, verdict: Verdict.noData, incarnation });
    };
    if (this.#directory.coordinator === asked) answer();
    else if (this.#mayTurnTo(asked)) {
      const incarnation = drawIncarnation(this.runtime.random);
      this.#write({ ...this.#directory, incarnation, coordinator: asked }, answer);
    }
  }

  /**
   * Whether this founder may give up the incarnation that it has for one that is drawn for this
   * coordinator. With it goes the right to take part in what the coordinator's former incarnation
   * may have founded; so every other founder must have said since that it knows of nothing founded.
   */
  #mayTurnTo(coordinator: number): boolean {
    if (this.#directory.coordinator === 0) return true;
    const { cluster, id } = this.options;
    if (this.#turningTo === coordinator) {
      const others = cluster.filter(
        (peer) => peer.id !== id && peer.id !== coordinatorOf(this.options),
      );
      return others.every((peer) => this.#without.has(peer.id));
    }
    this.#turningTo = coordinator;
    this.#without.clear();
    this.#askAll();
    return false;
  }

  #standing(from: MemberId, standing: Standing): void {
    if (this.#ended || this.#writing) return;
    const { asked = 0, verdict } = standing;
    // The answer to a question that was asked with an earlier incarnation.
    if (asked !== this.#directory.incarnation) return;
    if (verdict === Verdict.noData) {
      this.#without.set(from, standing.incarnation ?? 0);
      this.#others.delete(from);
      this.#foundIfAllAnswered();
    } else if (verdict === Verdict.welcome) this.#adopt(standing);
    else if (verdict === Verdict.bootstrapped) this.#fail(bootstrappedError(this.options));
    else if (verdict === Verdict.removed) this.#fail(removedError(this.options.name));
    else if (verdict === Verdict.otherFounders) this.#others.add(from);
  }

  #foundIfAllAnswered(): void {
    const { cluster, id } = this.options;
    if (!this.#coordinates || this.#writing || this.#ended) return;
    const incarnations = new Map(this.#without).set(id, this.#directory.incarnation);
    if (!cluster.every((peer) => (incarnations.get(peer.id) ?? 0) > 0)) return;
    const bare = foundation({ cluster });
    const peers = bare.roster.peers.map((peer) => ({
      ...peer,
      incarnation: incarnations.get(peer.id) ?? 0,
    }));
    const founded: RosterMeta = { ...bare, roster: { peers, removed: [] } };
    const drawn = peers.map(({ incarnation }) => incarnation).join();
    const clusterId = this.#clusterId(`\n\n${drawn}`);
    this.#write({ ...this.#directory, cluster: clusterId, foundation: founded }, () => {
      this.runtime.log.info("the cluster is founded", { members: peers.map(({ name }) => name) });
      for (const peer of peers) {
        if (peer.id !== id) {
          this.#tell(peer.id, welcomeTo(peer.incarnation, clusterId, founded));
        }
      }
      this.#outcome.resolve(this.#directory);
    });
  }

  #adopt({ cluster = 0, foundation: wire }: Standing): void {
    const { incarnation } = this.#directory;
    if (incarnation === 0 || !Number.isSafeInteger(cluster) || cluster < 1) return;
    const founded = wire && rosterMetaFromWire(wire);
    const own = founded?.roster.peers.find(({ id }) => id === this.options.id);
    if (founded && own?.incarnation !== incarnation) return;
    // A joiner's log begins with no members; whom to ask is all that it knows.
    const { cluster: asked } = this.options;
    const bare = foundation({ cluster: asked, initialClusterState: "existing" });
    const adopted = { incarnation, coordinator: 0, cluster: cluster as ClusterId };
    this.#write({ ...adopted, foundation: founded ?? bare }, () => {
      this.runtime.log.info("this member takes part in the cluster", { founder: !!founded });
      this.#outcome.resolve(this.#directory);
    });
  }

  /** `written` is called when the disk has it. */
  #write(directory: DataDirectory, written: () => void): void {
    this.#writing = true;
    writeDirectory(this.runtime.disk, this.options, directory).then(
      () => {
        this.#writing = false;
        this.#directory = directory;
        if (!this.#ended) written();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    this.#ended = true;
    this.#outcome.reject(error);
  }

  /** To the log, from time to time: what this member waits for, and what an operator can do. */
  #report(): void {
    const { cluster, id } = this.options;
    const missing = cluster.filter((peer) => peer.id !== id && !this.#links.isLinked(peer.id));
    const others = cluster.filter((peer) => this.#others.has(peer.id));
    this.runtime.log.warn(
      this.#joins
        ? "this member has no data and waits until the cluster that has added it admits it"
        : "this member has no data and waits for all founders: a cluster that was founded before " +
            "goes on without it until it is removed and added again",
      {
        notReached: missing.map(({ name }) => name),
        ...(others.length > 0 && { startedWithOtherFounders: others.map(({ name }) => name) }),
      },
    );
  }
}

export function welcomeTo(
  asked: number,
  cluster: number,
  founded: RosterMeta | undefined,
): Standing {
  return {
    asked,
    verdict: Verdict.welcome,
    cluster,
    foundation: founded && rosterMetaToWire(founded),
  };
}

/** etcd's words, and what to do. */
export function bootstrappedError({ name, id }: Pick<MemberOptions, "name" | "id">): StatusError {
  return new StatusError(
    Code.failedPrecondition,
    `etcdserver: member ${id.toString(16)} has already been bootstrapped: "${name}" takes part in ` +
      "the cluster with data that are not on this disk. Bring the data back, or remove the member " +
      "(etcdctl member remove), delete its peer key, and add it again",
  );
}

export function removedError(name: string): StatusError {
  return new StatusError(
    Code.unavailable,
    `etcdserver: member "${name}" has been removed from the cluster: to bring it back, delete its ` +
      "data and its peer key, and add it again",
  );
}

/** The cluster goes on without the member until an operator has acted: a restart does not help. */
export function isExclusion(error: unknown): error is Error {
  const words = /has already been bootstrapped|has been removed from the cluster/;
  return error instanceof Error && words.test(error.message);
}
