/**
 * Installs a received snapshot in a running member: log and state are replaced on the disk first
 * (`installer.ts`), then the member goes on from the new state.
 */
import type { Ready } from "../raft/mod.ts";
import { assert } from "../runtime/assert.ts";
import { DiskError } from "../runtime/types.ts";
import { storeErrors as errors, type StateMachine } from "../store/mod.ts";
import { install } from "./installer.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { loadMachine } from "./load-machine.ts";
import type { MemberParts } from "./parts.ts";
import type { ReadyHandler } from "./ready-handler.ts";
import type { RosterMeta } from "./wire.ts";

export interface InstallationHost {
  readonly lifecycle: Lifecycle;
  readonly handler: ReadyHandler;
  /** Puts `machine`, and a watch hub on it, in the place of the old ones. */
  replace(machine: StateMachine): void;
}

export class Installation {
  readonly #parts: MemberParts;
  readonly #host: InstallationHost;
  #count = 0;

  constructor(parts: MemberParts, host: InstallationHost) {
    this.#parts = parts;
    this.#host = host;
  }

  /** How many installations have begun: each one invalidates whatever was read before it. */
  get count(): number {
    return this.#count;
  }

  /** Begins to install the snapshot that `ready` asks for. A failure stops the member. */
  begin(ready: Ready): void {
    const { snapshots, runtime, hub, diskFailed } = this.#parts;
    this.#count++;
    const meta = snapshots.installing;
    assert(meta && meta.index === ready.install?.index, "what was received is installed");
    this.#host.lifecycle.beginInstalling();
    runtime.log.info("installing a snapshot", { index: meta.index });
    hub().stop(errors.leaderChanged());
    this.#install(ready, meta).catch((error: unknown) => {
      runtime.log.error("a snapshot could not be installed", { error });
      if (error instanceof DiskError) diskFailed(error);
      else this.#host.lifecycle.leave(errors.corrupt());
    });
  }

  async #install(ready: Ready, meta: RosterMeta): Promise<void> {
    const { id, runtime, read, logStore, writer, proposals } = this.#parts;
    const { disk } = runtime;
    await writer.drained();
    await install(disk, read, logStore, meta, ready.hardState);
    const machine = await loadMachine(disk, id, proposals.incarnation);
    assert(machine.appliedIndex === meta.index, "the snapshot is of the index it says");
    if (!this.#host.lifecycle.installing) return;
    this.#continueFrom(machine, ready, meta);
  }

  #continueFrom(machine: StateMachine, ready: Ready, meta: RosterMeta): void {
    const { raft, leases, writer, trimmer, snapshots, members } = this.#parts;
    const { lifecycle, handler } = this.#host;
    this.#host.replace(machine);
    handler.reset();
    leases.reset(machine);
    writer.reset(machine);
    trimmer.restart(meta.index);
    snapshots.installing = undefined;
    lifecycle.endInstalling();
    members.restore(meta.index, meta.roster);
    raft.applied(meta.index);
    handler.carryOut(ready);
    this.#parts.proposals.skipped();
    this.#parts.reads.applied(meta.index);
    this.#parts.leadership.tell();
    this.#parts.wake();
  }
}
