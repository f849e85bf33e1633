/** Asks every member again and again how far it is and who leads, and records what changes. */
import type { Recorder } from "./evidence.ts";
import { leads, type MemberRef, pause } from "./world/world.ts";

const askMillis = 50;
/** A point of the timeline even if nothing but the revision has changed. */
const pointMillis = 250;

export class Monitor {
  readonly #members: readonly MemberRef[];
  readonly #recorder: Recorder;
  readonly #leading = new Map<string, { readonly term: bigint; readonly t: number }>();

  constructor(members: readonly MemberRef[], recorder: Recorder) {
    this.#members = members;
    this.#recorder = recorder;
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#members.map((member) => this.#follow(member, signal)));
  }

  /** Who says that it leads, with the highest term; undefined while no member does. */
  get leader(): string | undefined {
    let best: { readonly name: string; readonly term: bigint } | undefined;
    for (const [name, { term }] of this.#leading) {
      if (best === undefined || term > best.term) best = { name, term };
    }
    return best?.name;
  }

  async #follow(member: MemberRef, signal: AbortSignal): Promise<void> {
    let before = "";
    let pointAt = Number.NEGATIVE_INFINITY;
    const { name } = member;
    while (!signal.aborted) {
      const status = await member.status();
      const t = this.#recorder.now();
      const leading = leads(status);
      const now = status ? `${status.raftTerm} ${status.leader} ${leading}` : "silent";
      if (leading) this.#leading.set(name, { term: status?.raftTerm ?? 0n, t });
      else this.#leading.delete(name);
      if (now !== before || (status && t - pointAt >= pointMillis)) {
        if (status) {
          this.#recorder.mark({
            kind: "status",
            t,
            name,
            leads: leading,
            leader: Boolean(status.leader),
            term: Number(status.raftTerm ?? 0n),
            revision: Number(status.header?.revision ?? 0n),
            applied: Number(status.raftAppliedIndex ?? 0n),
            commit: Number(status.raftIndex ?? 0n),
          });
        } else this.#recorder.mark({ kind: "silent", t, name });
        pointAt = t;
      }
      before = now;
      await pause(askMillis, signal);
    }
  }
}
