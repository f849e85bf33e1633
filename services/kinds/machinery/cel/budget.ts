/**
 * What an expression may cost when it is evaluated. Every node of an expression spends from the
 * budget of the evaluation under way, and more for long texts and lists, so no expression holds the
 * event loop for long whatever it loops over (upstream: KEP-2876, "actual cost limit").
 */
class BudgetExceeded extends Error {
  constructor() {
    super("operation cancelled: actual cost limit exceeded");
  }
}

export class Budget {
  #left: number;
  #exceeded = false;

  constructor(steps: number) {
    this.#left = steps;
  }

  get left(): number {
    return this.#left;
  }

  get exceeded(): boolean {
    return this.#exceeded;
  }

  /** Throws BudgetExceeded, and does so again whenever that was caught. */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left >= 0) return;
    this.#exceeded = true;
    throw new BudgetExceeded();
  }
}

let present: Budget | undefined;

/** Runs an evaluation, which is synchronous, on a budget. */
export function withBudget<T>(budget: Budget, run: () => T): T {
  const before = present;
  present = budget;
  try {
    return run();
  } finally {
    present = before;
  }
}

/** Of the evaluation under way. Outside of one it does nothing: constants are folded so. */
export function spend(steps: number): void {
  present?.spend(steps);
}

const costPerCharacter = 0.1;

/** What it costs to have made or looked up a value. */
export function spendOn(value: unknown): void {
  if (present === undefined) return;
  if (typeof value === "string") present.spend(1 + value.length * costPerCharacter);
  else if (Array.isArray(value)) present.spend(1 + value.length * costPerCharacter);
  else if (typeof value === "bigint" && (value > int64Max || value < -int64Max - 1n)) {
    throw new Error("integer overflow");
  } else present.spend(1);
}

const int64Max = 2n ** 63n - 1n;
