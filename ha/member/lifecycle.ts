/**
 * The phases of a member, and the ways in which it ends.
 *
 *     running ◄──► installing        close() ─► closed
 *        └────────────┴─ disk failure, removal from the cluster ─► failed ─ close() ─► closed
 */
import { Role } from "../raft/mod.ts";
import { assert } from "../runtime/assert.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel, DiskError } from "../runtime/types.ts";
import { storeErrors as errors } from "../store/mod.ts";
import { removedError } from "./founding.ts";
import type { MemberParts } from "./parts.ts";
import { nameSuccessor } from "./successor.ts";

/** `installing`: a snapshot replaces log and state; the member does nothing else meanwhile. */
type Phase = "running" | "installing" | "failed" | "closed";

export class Lifecycle {
  readonly #parts: MemberParts;
  readonly #cancels: Cancel[] = [];
  readonly #excluded = Promise.withResolvers<StatusError>();
  #phase: Phase = "running";
  #failure: StatusError | undefined;

  constructor(parts: MemberParts) {
    this.#parts = parts;
  }

  get running(): boolean {
    return this.#phase === "running";
  }

  get installing(): boolean {
    return this.#phase === "installing";
  }

  /** The member has failed or was closed. */
  get ended(): boolean {
    return this.#phase === "failed" || this.#phase === "closed";
  }

  /** Why the member serves no callers; undefined while it does serve them. */
  get failure(): StatusError | undefined {
    return this.#failure;
  }

  /** Resolves when the member has been removed from the cluster and has left it. */
  get excluded(): Promise<StatusError> {
    return this.#excluded.promise;
  }

  /** Calls `cancels` when the member ends. */
  atEnd(...cancels: readonly Cancel[]): void {
    this.#cancels.push(...cancels);
  }

  beginInstalling(): void {
    this.#phase = "installing";
  }

  endInstalling(): void {
    assert(this.#phase === "installing", "an installation ends once, in a member that lives");
    this.#phase = "running";
  }

  /** Ends the member at its owner's wish: everything that waits fails at once. */
  async close(): Promise<void> {
    if (this.#phase === "closed") return;
    this.#end("closed", errors.stopped());
    await this.#parts.links.close();
  }

  /**
   * The member was removed from the cluster. It refuses its callers at once; it closes its links
   * after a pause, in which its peers learn to do without it.
   */
  retire(): void {
    if (this.#failure) return;
    const { name, runtime, writer, limits, leadership } = this.#parts;
    const error = removedError(name);
    runtime.log.warn("this member has been removed from the cluster");
    this.#refuse(error);
    leadership.tell();
    // This writes the applied roster to the disk: after a restart the member knows of its removal.
    writer.log({ operations: [], lastIndex: undefined, sync: true, done: undefined });
    this.atEnd(
      runtime.clock.after(limits.removedLingerMillis, () => {
        this.leave(error);
        this.#excluded.resolve(error);
      }),
    );
  }

  /**
   * A member that cannot persist, or finds what it persisted damaged, stops acknowledging, and its
   * peers go on without it. A leader first names a successor, if a peer has the whole log. Then the
   * links close, and the peers elect a new leader without waiting for their timers.
   */
  diskFailed(error: DiskError): void {
    if (this.ended) return;
    const { raft, runtime, outbox, links } = this.#parts;
    runtime.log.error("the disk failed: this member stops", { kind: error.kind, error });
    if (raft.role === Role.leader && this.running) {
      nameSuccessor(raft, runtime.network, outbox.cluster, (peer) => links.isLinked(peer));
    }
    this.leave(new StatusError(Code.unavailable, `etcdserver: ${error.message}`));
  }

  /** Ends the member for good, before its owner closes it. */
  leave(error: StatusError): void {
    if (this.ended) return;
    const { runtime, links, leadership } = this.#parts;
    this.#end("failed", error);
    // The links close one turn later, because the last frames are still on their way out.
    runtime.clock.soon(() => {
      links.close().catch((thrown: unknown) => {
        runtime.log.warn("the peer links could not be closed", { error: thrown });
      });
    });
    leadership.tell();
  }

  #end(phase: "failed" | "closed", error: StatusError): void {
    const { leadership, snapshots, members } = this.#parts;
    this.#phase = phase;
    for (const cancel of this.#cancels.splice(0)) cancel();
    leadership.stop();
    snapshots.stop();
    members.stop();
    this.#refuse(error);
  }

  /** Fails every waiting caller, and from now on every new one, with `error`. */
  #refuse(error: StatusError): void {
    const { snapshots, proposals, reads, calls, members, hub } = this.#parts;
    this.#failure = error;
    snapshots.refuse(error);
    proposals.close(error);
    reads.close(error);
    calls.close(error);
    members.deposed();
    hub().stop(error);
  }
}
