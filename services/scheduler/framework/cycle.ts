import type { PodInfo } from "../pod-info.ts";
import type { Snapshot } from "../snapshot.ts";

/** Names a value in a cycle's state and carries its type. Make one per value, at module level. */
export class StateKey<T> {
  readonly name: string;
  declare readonly type: T;

  constructor(name: string) {
    this.name = name;
  }
}

/** One attempt to schedule one pod: what plugins read, and what they leave for each other. */
export class Cycle {
  readonly pod: PodInfo;
  readonly snapshot: Snapshot;
  readonly #state = new Map<StateKey<unknown>, unknown>();

  constructor(pod: PodInfo, snapshot: Snapshot) {
    this.pod = pod;
    this.snapshot = snapshot;
  }

  write<T>(key: StateKey<T>, value: T): void {
    this.#state.set(key, value);
  }

  /** Undefined when nothing was written. */
  find<T>(key: StateKey<T>): T | undefined {
    return this.#state.get(key) as T | undefined;
  }

  /** Throws when nothing was written: the plugin's earlier stage did not run. */
  read<T>(key: StateKey<T>): T {
    if (!this.#state.has(key)) throw new RangeError(`no cycle state "${key.name}"`);
    return this.#state.get(key) as T;
  }
}
