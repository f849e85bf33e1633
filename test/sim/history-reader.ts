/**
 * Reads history: keys at an old revision, their hash, whole backups. All of it comes from the disk
 * of the member asked, where a bit may have flipped: then the member refuses it, or does not have
 * it, and never gives it out.
 */
import { BackupReader } from "../../ha/member/mod.ts";
import { byRevision, decodeChanges, openRecord, Prefix } from "../../ha/store/layout.ts";
import type { Revision } from "../../ha/store/mod.ts";
import { Violation } from "../../services/drill/checker/violation.ts";
import { bytes, Caller, text } from "./caller.ts";
import { between, type Chance } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import { Timeline } from "./kv-checks.ts";
import type { TrueEvent } from "./truth.ts";

/** Everything under a prefix, as one member said it was at a revision. */
export interface PastRead {
  readonly revision: number;
  readonly states: ReadonlyMap<string, string>;
}

/** The revisions of a backup, as they were before compaction took anything out of them. */
export interface BackupRead {
  readonly compactRevision: number;
  readonly revision: number;
  readonly changes: ReadonlyMap<number, readonly string[]>;
}

/** What a change says, in a form that can be compared. */
const told = (change: { deleted: boolean; key: string; value: string }): string =>
  change.deleted ? `${change.key} deleted` : `${change.key} = ${change.value}`;

export class HistoryReader extends Caller {
  readonly reads: PastRead[] = [];
  readonly backups: BackupRead[] = [];
  /** By revision: what members gave as the hash of all keys. */
  readonly hashes = new Map<number, Set<number>>();

  constructor(name: string, cluster: Cluster, chance: Chance) {
    super(name, cluster, chance);
  }

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 10, 200));
    const { revision: newest, compactRevision } = this.cluster.truth;
    const oldest = Math.max(compactRevision, newest - 60, 1);
    const revision = between(this.chance, oldest, Math.max(oldest, newest)) as Revision;
    const dice = this.chance.below(10);
    if (dice < 6) await this.#read(revision);
    else if (dice < 9) await this.#hash(revision);
    else await this.#backUp();
  }

  async #read(revision: Revision): Promise<void> {
    const request = { key: bytes("/"), rangeEnd: bytes("0"), revision };
    const answer = await this.ask((store) => store.range(request));
    if (answer?.kind !== "done") return;
    const states = answer.value.kvs.map(({ key, value }) => [text(key), text(value)] as const);
    this.reads.push({ revision, states: new Map(states) });
  }

  async #hash(revision: Revision): Promise<void> {
    const answer = await this.askAdmin((admin) => admin.hashKv(revision));
    if (answer?.kind !== "done") return;
    const known = this.hashes.get(revision);
    if (known) known.add(answer.value.hash);
    else this.hashes.set(revision, new Set([answer.value.hash]));
  }

  async #backUp(): Promise<void> {
    const answer = await this.askAdmin(async (admin) => {
      const reader = new BackupReader();
      const changes = new Map<number, readonly string[]>();
      for await (const piece of admin.snapshot()) {
        for (const { key, value } of reader.take(piece)) {
          if (key[0] !== Prefix.revision || !value) continue;
          for (const [at, made] of byRevision(decodeChanges(key, openRecord(key, value)))) {
            changes.set(at, made.map(told));
          }
        }
      }
      const { compactRevision = 0, revision = 0 } = reader.finish();
      return { compactRevision, revision, changes };
    });
    if (answer?.kind === "done") this.backups.push(answer.value);
  }
}

/** No reader was given a past, or a hash of one, that never was; a backup holds what happened. */
export function assertPastTrue(reader: HistoryReader, events: readonly TrueEvent[]): void {
  const timeline = new Timeline(events);
  const keys = new Set(events.map(({ key }) => key));
  for (const { revision, states } of reader.reads) {
    for (const key of keys) {
      const value = timeline.value(key, revision);
      if (states.get(key) === value) continue;
      const both = `was told that it was ${states.get(key)}, which was ${value}`;
      throw new Violation(`past true: of ${key} at revision ${revision} somebody ${both}`);
    }
    for (const key of states.keys()) {
      if (keys.has(key)) continue;
      throw new Violation(`past true: ${key}, read at revision ${revision}, never was`);
    }
  }
  for (const [revision, hashes] of reader.hashes) {
    if (hashes.size === 1) continue;
    throw new Violation(`past true: revision ${revision} has hashes ${[...hashes].join(", ")}`);
  }
  for (const { compactRevision, revision, changes } of reader.backups) {
    for (let at = Math.max(2, compactRevision + 1); at <= revision; at++) {
      const wanted = timeline.at(at).map(({ type, ...event }) => {
        return told({ ...event, deleted: type === "delete" });
      });
      if (changes.get(at)?.join() === wanted.join()) continue;
      const both = `${changes.get(at)?.join()}, where ${wanted.join()} happened`;
      throw new Violation(`past true: a backup says of revision ${at}: ${both}`);
    }
  }
}
