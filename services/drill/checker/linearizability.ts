/**
 * Is a history of operations on one register linearizable?
 *
 * The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memo
 * of visited configurations and his list of what is still to be placed ("Testing for
 * Linearizability", 2017). Histories are partitioned by key before they come here: linearizability
 * is local (Herlihy and Wing, 1990).
 *
 * An operation whose answer never came may have happened at any time after its call, or not at all.
 * It is tried last, and of several that would do the same only the first one is: so the many that
 * make no difference cost next to nothing.
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

export interface NotLinearizable {
  /** So many operations could be placed. */
  readonly explained: number;
  /** What lies around the place where it went no further, for a report. */
  readonly around: readonly HistoryOperation[];
}

/** Configurations visited at most: beyond, the history is too concurrent to be decided. */
const visitsMax = 1_000_000;

/** Undefined: linearizable. Throws RangeError when it cannot be decided in `visitsMax` steps. */
export function checkRegister(
  history: readonly HistoryOperation[],
  initial: RegisterValue,
): NotLinearizable | undefined {
  const seen = new Set(history.flatMap(({ action }) => seenBy(action)));
  const operations = history
    .map((op) => ({ ...op, action: blurred(op.action, seen) }))
    .sort((a, b) => a.called - b.called);
  return new Search(operations, initial).run();
}

interface Step {
  readonly index: number;
  readonly state: RegisterValue;
}

class Search {
  readonly #operations: readonly HistoryOperation[];
  readonly #initial: RegisterValue;
  /** What is still to be placed, in order of the call: a list through two arrays; n is its end. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** Two random words per operation: a set of them is told by their sum. */
  readonly #words: Uint32Array;
  readonly #values = new Map<RegisterValue, number>();
  readonly #seen = new Set<number>();
  #low = 0;
  #high = 0;
  /** Answered operations that are not placed. */
  #left: number;

  constructor(operations: readonly HistoryOperation[], initial: RegisterValue) {
    this.#operations = operations;
    this.#initial = initial;
    const size = operations.length;
    this.#next = Int32Array.from({ length: size + 1 }, (_, i) => (i + 1) % (size + 1));
    this.#previous = Int32Array.from({ length: size + 1 }, (_, i) => (i + size) % (size + 1));
    this.#words = randomWords(2 * size);
    this.#left = operations.filter((op) => op.returned !== Number.POSITIVE_INFINITY).length;
  }

  /** Depth first, on a stack of our own: histories may be long. */
  run(): NotLinearizable | undefined {
    const path: Step[] = [];
    const choices: Step[][] = [this.#candidates(this.#initial)];
    let visits = 0;
    let longest = 0;
    let stuck = 0;
    while (this.#left > 0) {
      const step = choices.at(-1)?.pop();
      if (step) {
        this.#take(step.index);
        if (this.#visited(step.state)) {
          this.#putBack(step.index);
          continue;
        }
        if (++visits > visitsMax) throw new RangeError("the history is too concurrent to decide");
        path.push(step);
        choices.push(this.#candidates(step.state));
        if (path.length > longest) {
          longest = path.length;
          stuck = step.index;
        }
      } else {
        choices.pop();
        const last = path.pop();
        if (!last) return this.#report(longest, stuck);
        this.#putBack(last.index);
      }
    }
    return undefined;
  }

  /** What may come next: called before any other that is left returned. Best last. */
  #candidates(state: RegisterValue): Step[] {
    const operations = this.#operations;
    const end = operations.length;
    const later: Step[] = [];
    const found: Step[] = [];
    let earliestReturn = Number.POSITIVE_INFINITY;
    let index = this.#next[end] as number;
    for (; index !== end; index = this.#next[index] as number) {
      const op = operations[index] as HistoryOperation;
      if (op.called > earliestReturn) break;
      if (op.returned < earliestReturn) earliestReturn = op.returned;
      const result = after(op.action, state);
      if (result === "impossible") continue;
      const step = { index, state: result.state };
      if (op.returned !== Number.POSITIVE_INFINITY) found.push(step);
      else if (result.state !== state && !later.some((other) => this.#alike(other, step))) {
        later.push(step);
      }
    }
    found.sort((a, b) => this.#returned(b) - this.#returned(a));
    return [...later.reverse(), ...found];
  }

  #alike(left: Step, right: Step): boolean {
    const kind = (step: Step) => this.#operations[step.index]?.action.kind;
    return left.state === right.state && kind(left) === kind(right);
  }

  #returned({ index }: Step): number {
    return (this.#operations[index] as HistoryOperation).returned;
  }

  #visited(state: RegisterValue): boolean {
    let value = this.#values.get(state);
    if (value === undefined) {
      value = this.#values.size;
      this.#values.set(state, value);
    }
    // 53 bits: two different configurations in a million meet with a chance of one in ten thousand.
    const low = (this.#low ^ Math.imul(value + 1, 0x9e3779b1)) >>> 0;
    const high = (this.#high ^ Math.imul(value + 1, 0x85ebca77)) & 0x1fffff;
    const key = high * 2 ** 32 + low;
    if (this.#seen.has(key)) return true;
    this.#seen.add(key);
    return false;
  }

  #take(index: number): void {
    const next = this.#next[index] as number;
    const previous = this.#previous[index] as number;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#mark(index, -1);
  }

  #putBack(index: number): void {
    this.#next[this.#previous[index] as number] = index;
    this.#previous[this.#next[index] as number] = index;
    this.#mark(index, 1);
  }

  #mark(index: number, left: number): void {
    this.#low ^= this.#words[2 * index] as number;
    this.#high ^= this.#words[2 * index + 1] as number;
    const { returned } = this.#operations[index] as HistoryOperation;
    if (returned !== Number.POSITIVE_INFINITY) this.#left += left;
  }

  #report(explained: number, stuck: number): NotLinearizable {
    const time = (this.#operations[stuck]?.called ?? 0) as number;
    const around = this.#operations.filter(
      (op) => op.called <= time + 1_500 && op.returned >= time - 500,
    );
    return { explained, around };
  }
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

/** A value that no client has read: all of them are alike. */
const unseen = "(never seen)";

function seenBy(action: RegisterAction): RegisterValue[] {
  if (action.kind === "read") return [action.value];
  return action.kind === "swap" ? [action.expected] : [];
}

function blurred(action: RegisterAction, seen: ReadonlySet<RegisterValue>): RegisterAction {
  if (action.kind === "read" || action.value === undefined || seen.has(action.value)) return action;
  return { ...action, value: unseen };
}

/** Any fixed, well mixed sequence will do. */
function randomWords(count: number): Uint32Array {
  const words = new Uint32Array(count);
  let seed = 0x2545f491;
  for (let i = 0; i < count; i++) {
    seed = (seed + 0x9e3779b9) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    words[i] = mixed ^ (mixed >>> 15);
  }
  return words;
}
