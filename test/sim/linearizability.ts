/**
 * Is a history of operations on one register linearizable?
 *
 * The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memo
 * of visited configurations ("Testing for Linearizability", 2017). Histories are partitioned by key
 * before they come here: linearizability is local (Herlihy and Wing, 1990).
 *
 * An operation whose answer never came may have happened at any time after its call, or not at all.
 */

export type RegisterValue = string | undefined;

export type RegisterAction =
  | { readonly kind: "read"; readonly value: RegisterValue }
  | { readonly kind: "write"; readonly value: RegisterValue }
  /** Writes `value` if the register holds `expected`; `done` tells which. */
  | {
      readonly kind: "swap";
      readonly expected: RegisterValue;
      readonly value: RegisterValue;
      readonly done: boolean | "unknown";
    };

export interface HistoryOperation {
  readonly client: string;
  readonly action: RegisterAction;
  /** Times on one clock; `returned` Infinity: the answer never came. */
  readonly called: number;
  readonly returned: number;
}

/** Undefined: linearizable. Otherwise the longest prefix that could be explained, for a report. */
export function checkRegister(
  history: readonly HistoryOperation[],
  initial: RegisterValue,
): { readonly explained: readonly HistoryOperation[] } | undefined {
  const operations = [...history].sort((a, b) => a.called - b.called);
  const search = new Search(operations, initial);
  return search.run() ? undefined : { explained: search.longest };
}

/** What the register holds after the action, or "impossible" in this state. */
function after(
  action: RegisterAction,
  state: RegisterValue,
): { readonly state: RegisterValue } | "impossible" {
  switch (action.kind) {
    case "read":
      return action.value === state ? { state } : "impossible";
    case "write":
      return { state: action.value };
    case "swap": {
      const holds = state === action.expected;
      if (action.done !== "unknown" && action.done !== holds) return "impossible";
      return { state: holds ? action.value : state };
    }
  }
}

class Search {
  readonly #operations: readonly HistoryOperation[];
  readonly #initial: RegisterValue;
  readonly #seen = new Set<string>();
  longest: readonly HistoryOperation[] = [];

  constructor(operations: readonly HistoryOperation[], initial: RegisterValue) {
    this.#operations = operations;
    this.#initial = initial;
  }

  /** Depth first, on a stack of our own: histories may be long. */
  run(): boolean {
    const total = this.#operations.length;
    const taken = new Uint8Array(total);
    const order: number[] = [];
    const states: RegisterValue[] = [this.#initial];
    const nexts: number[] = [0];
    for (;;) {
      const state = states.at(-1);
      if (this.#complete(taken)) return true;
      const found = this.#next(taken, state, nexts.at(-1) ?? 0);
      if (found) {
        nexts[nexts.length - 1] = found.index + 1;
        taken[found.index] = 1;
        const key = `${configuration(taken)}|${found.state ?? "\u0000"}`;
        if (this.#seen.has(key)) {
          taken[found.index] = 0;
          continue;
        }
        this.#seen.add(key);
        order.push(found.index);
        states.push(found.state);
        nexts.push(0);
        if (order.length > this.longest.length) {
          this.longest = order.map((index) => this.#operations[index] as HistoryOperation);
        }
      } else {
        const last = order.pop();
        if (last === undefined) return false;
        taken[last] = 0;
        states.pop();
        nexts.pop();
      }
    }
  }

  /** Everything that was answered has its place; the unanswered may never have happened. */
  #complete(taken: Uint8Array): boolean {
    return this.#operations.every((op, i) => taken[i] === 1 || op.returned === Infinity);
  }

  /** The next operation that may come first: called before any other untaken one returned. */
  #next(
    taken: Uint8Array,
    state: RegisterValue,
    from: number,
  ): { readonly index: number; readonly state: RegisterValue } | undefined {
    let earliestReturn = Infinity;
    for (let i = 0; i < this.#operations.length; i++) {
      const op = this.#operations[i] as HistoryOperation;
      if (taken[i] === 0 && op.returned < earliestReturn) earliestReturn = op.returned;
    }
    for (let index = from; index < this.#operations.length; index++) {
      const op = this.#operations[index] as HistoryOperation;
      if (op.called > earliestReturn) return undefined;
      if (taken[index] === 1) continue;
      const result = after(op.action, state);
      if (result !== "impossible") return { index, state: result.state };
    }
    return undefined;
  }
}

/** The set of taken operations: a run of leading ones, then the rest as bits. */
function configuration(taken: Uint8Array): string {
  let run = 0;
  while (run < taken.length && taken[run] === 1) run++;
  let rest = "";
  let last = run;
  for (let i = run; i < taken.length; i++) {
    if (taken[i] === 1) {
      rest += `,${i - last}`;
      last = i;
    }
  }
  return `${run}${rest}`;
}
