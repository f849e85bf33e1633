/** Watchers of a drill: each resumes where it was, at the next door, and records what it is given. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Recorder } from "./evidence.ts";
import type { Face } from "./faces/face.ts";
import { pause } from "./world/world.ts";

const againMillis = 20;

/** Runs until the signal aborts. `reached` tells how far it has come. */
export class Watcher {
  readonly #face: Face;
  readonly #recorder: Recorder;
  readonly #name: string;
  #revision: number;

  constructor(face: Face, recorder: Recorder, name: string, revision: number) {
    this.#face = face;
    this.#recorder = recorder;
    this.#name = name;
    this.#revision = revision;
  }

  get reached(): number {
    return this.#revision;
  }

  async run(firstDoor: number, signal: AbortSignal): Promise<void> {
    for (let door = firstDoor; !signal.aborted; door++) {
      const watcher = this.#name;
      const now = () => this.#recorder.now();
      this.#recorder.watch({ kind: "session", watcher, t: now(), start: this.#revision + 1 });
      let why = "the stream ended";
      try {
        for await (const { revision, events } of this.#face.watch(this.#revision, door, signal)) {
          this.#recorder.watch({ kind: "batch", watcher, t: now(), revision, events });
          if (revision > this.#revision) this.#revision = revision;
        }
      } catch (thrown) {
        const error = StatusError.from(thrown);
        why = error.message;
        if (error.code === Code.outOfRange && !signal.aborted) await this.#relist();
      }
      if (signal.aborted) return;
      this.#recorder.watch({ kind: "broken", watcher, t: now(), why: why.slice(0, 300) });
      await pause(againMillis, signal);
    }
  }

  async #relist(): Promise<void> {
    try {
      this.#revision = (await this.#face.list()).revision;
      this.#recorder.watch({ kind: "relist", watcher: this.#name, t: this.#recorder.now() });
    } catch (thrown) {
      StatusError.from(thrown); // No answer yet; the watch is tried again, and then the list.
    }
  }
}
