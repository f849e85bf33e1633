/** The header of every response: cluster, member, term and revision. */
import type { ResponseHeader } from "../../proto/gen/etcd.ts";
import type { Cancel } from "../runtime/types.ts";
import type { MemberStatus, Revision, Store } from "../store/mod.ts";
import { reserved } from "./reserved.ts";

interface LeaderLoss {
  readonly millis: number;
  readonly lost: () => void;
  timer: NodeJS.Timeout | undefined;
}

export class MemberHeader {
  private readonly store: Store;
  private status: MemberStatus | undefined;
  private clusterId = 0n;
  private memberId = 0n;
  private term = 0n;
  private readonly stop: Cancel;
  private readonly losses = new Set<LeaderLoss>();

  constructor(store: Store) {
    this.store = store;
    this.stop = store.onStatus((status) => this.take(status));
  }

  /** Undefined until the member has told it once. */
  get current(): MemberStatus | undefined {
    return this.status;
  }

  async load(): Promise<MemberStatus> {
    if (this.status === undefined) this.take(await this.store.status());
    return this.status ?? (await this.store.status());
  }

  private take(status: MemberStatus): void {
    this.status = status;
    this.clusterId = status.clusterId;
    this.memberId = BigInt(status.id);
    this.term = BigInt(status.term);
    const led = status.leader !== undefined;
    for (const loss of this.losses) this.watchLoss(loss, led);
  }

  of(revision: Revision): ResponseHeader {
    return {
      clusterId: this.clusterId,
      memberId: this.memberId,
      revision: BigInt(revision),
      raftTerm: this.term,
    };
  }

  /** Without a revision: for calls that have nothing to do with keys. */
  ofCluster(): ResponseHeader {
    return { clusterId: this.clusterId, memberId: this.memberId, raftTerm: this.term };
  }

  /** The newest revision that this member has applied. */
  async revision(): Promise<Revision> {
    const request = { key: reserved.nothing, countOnly: true };
    const { revision } = await this.store.range(request, { serializable: true });
    return revision;
  }

  async now(): Promise<ResponseHeader> {
    return this.of(await this.revision());
  }

  /** Calls back once when the member has known no leader for so long. */
  whenLeaderLost(millis: number, lost: () => void): Cancel {
    const loss: LeaderLoss = { millis, lost, timer: undefined };
    this.losses.add(loss);
    this.watchLoss(loss, this.status?.leader !== undefined);
    return () => {
      clearTimeout(loss.timer);
      this.losses.delete(loss);
    };
  }

  private watchLoss(loss: LeaderLoss, led: boolean): void {
    if (led) {
      clearTimeout(loss.timer);
      loss.timer = undefined;
      return;
    }
    loss.timer ??= setTimeout(() => {
      this.losses.delete(loss);
      loss.lost();
    }, loss.millis);
  }

  close(): void {
    this.stop();
    for (const { timer } of this.losses) clearTimeout(timer);
    this.losses.clear();
  }
}
