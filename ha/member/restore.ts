/**
 * From backups to the first data of a new cluster.
 *
 * The new cluster is another one: its id differs, its revisions begin far above the old ones, and
 * all of the old ones count as compacted. So no client mistakes it for the old cluster, and no
 * watcher goes back in time: a client that asks for an old revision is told to read anew (etcd's
 * `snapshot restore --bump-revision --mark-compacted`).
 */
import type { LogIndex, Term } from "../raft/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { DiskOperation } from "../runtime/types.ts";
import { storeErrors as errors, StoreImage, type StorePosition } from "../store/mod.ts";
import type { BackupReader } from "./backup.ts";
import { type ClusterId, clusterIdOf } from "./cluster-id.ts";
import { directoryOperation } from "./data-directory.ts";
import { LogStore } from "./log-store.ts";
import type { ClusterPeer } from "./types.ts";

/** etcd's advice for `--bump-revision`: more than was ever written after the backup. */
export const defaultRevisionBump = 1_000_000_000;
/** Half of what a number can count: the new cluster has as much before it again. */
const revisionMax = 2 ** 52;

export interface NewCluster {
  readonly members: readonly ClusterPeer[];
  /** Tells clusters apart that are restored for the same members; part of the cluster id. */
  readonly token: string;
  readonly revisionBump: number;
}

/** The content of a backup and of the incremental ones upon it. */
export class Restoration {
  readonly #image = new StoreImage();
  #cluster: number | undefined;
  #revision = 0;

  /** Revision up to which everything is there. */
  get revision(): number {
    return this.#revision;
  }

  /** Of the cluster that the backup is of. */
  get cluster(): number | undefined {
    return this.#cluster;
  }

  get keys(): number {
    return this.#image.keys;
  }

  /** Takes one backup, piece by piece. Throws when it does not follow the one before it. */
  begin(reader: BackupReader): (operations: readonly DiskOperation[]) => void {
    let checked = false;
    return (operations) => {
      if (!checked && reader.header) {
        checked = true;
        this.#check(reader.header.cluster ?? 0, reader.header.sinceRevision ?? 0);
        this.#image.beginPart();
      }
      for (const { key, value } of operations) if (value) this.#image.take(key, value);
      if (reader.ended) this.#revision = reader.finish().revision ?? 0;
    };
  }

  #check(cluster: number, since: number): void {
    const refuse = (text: string) => new StatusError(Code.failedPrecondition, text);
    if (this.#cluster === undefined) {
      if (since > 0) throw refuse(`the first backup is incremental, from revision ${since} on`);
    } else {
      if (cluster !== this.#cluster) throw refuse("the backups are of different clusters");
      if (since === 0) throw refuse("the second backup is not an incremental one");
      // What the base has beyond is the same revisions again.
      if (since > this.#revision) {
        throw refuse(
          `the incremental backup begins after revision ${since}, the one before it ends at ` +
            `${this.#revision}: revisions are missing`,
        );
      }
    }
    this.#cluster = cluster;
  }

  /**
   * What the disk of `member` is to hold, in batches. The same for all members, but for its name.
   */
  *operations(
    cluster: NewCluster,
    member: ClusterPeer,
  ): Generator<DiskOperation[], ClusterId, undefined> {
    const first: StorePosition = { index: 1, term: 1 };
    const revision = this.#revision + cluster.revisionBump;
    if (!(Number.isSafeInteger(revision) && cluster.revisionBump >= 1 && revision <= revisionMax)) {
      const most = revisionMax - this.#revision;
      throw errors.invalid("revisionBump", cluster.revisionBump, `an integer in 1..${most}`);
    }
    yield* this.#image.restored(first, revision);
    const peers = [...cluster.members].sort((a, b) => a.id - b.id);
    const id = clusterIdOf(
      peers.map(({ identity }) => identity),
      `${cluster.token}\n${this.#cluster}\n${this.#revision}`,
    );
    const voters = peers.map((peer) => peer.id);
    const meta = {
      index: first.index as LogIndex,
      term: first.term as Term,
      membership: { voters, outgoing: [], learners: [], learnersNext: [] },
      roster: { peers, removed: [] },
    };
    const hardState = { term: meta.term, vote: undefined, commit: meta.index };
    const logStore = new LogStore();
    yield [
      ...logStore.reset(meta),
      ...logStore.persist([], hardState),
      directoryOperation(member, { cluster: id }),
    ];
    return id;
  }
}
