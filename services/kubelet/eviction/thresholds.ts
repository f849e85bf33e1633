/**
 * Eviction thresholds: when the node has too little left of something (upstream
 * `pkg/kubelet/eviction`). A hard threshold calls for evictions at once, a soft one when it has been
 * crossed for its grace period.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { parseDuration } from "../../client/mod.ts";
import { parseQuantity } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";

/** Upstream's names of eviction signals. Images lie where the pods' files are. */
const signals = [
  "memory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "pid.available",
] as const;
export type Signal = (typeof signals)[number];

/** Free and total of what a signal is about. */
export interface Room {
  readonly free: number;
  readonly total: number;
}
export type Measurements = Readonly<Partial<Record<Signal, Room>>>;

/** In units or as a share of the total. */
type Amount = { readonly units: number } | { readonly share: number };
export type Thresholds = Readonly<Partial<Record<Signal, Amount>>>;

/** Upstream's defaults of --eviction-hard, and one for process ids. */
export const evictionHardDefault =
  "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,pid.available<5%";

export interface EvictionSettings {
  readonly hard: Thresholds;
  readonly soft: Thresholds;
  readonly softGraceMillis: Readonly<Partial<Record<Signal, number>>>;
  /** How much beyond a threshold is to be free before an eviction has done its part. */
  readonly minimumReclaim: Thresholds;
  /** Of a pod that a soft threshold evicts, at most. */
  readonly maxPodGraceMillis: number;
  /** How long a pressure is told after it was seen last. */
  readonly transitionMillis: number;
}

export const evictionDefaults: EvictionSettings = {
  hard: parseThresholds(evictionHardDefault, "--eviction-hard"),
  soft: {},
  softGraceMillis: {},
  minimumReclaim: {},
  maxPodGraceMillis: 0,
  transitionMillis: kubeletLimits.pressureHoldMillis,
};

/** `signal<quantity or percentage,…`. Throws StatusError naming the flag. */
export function parseThresholds(value: string, flag: string): Thresholds {
  return parsePairs(value, flag, "<", (text) => amountOf(text), "a quantity or percentage");
}

/** `signal=quantity or percentage,…`. Throws StatusError naming the flag. */
export function parseReclaim(value: string, flag: string): Thresholds {
  return parsePairs(value, flag, "=", (text) => amountOf(text), "a quantity or percentage");
}

/** `signal=duration,…`. Throws StatusError naming the flag. */
export function parseGracePeriods(
  value: string,
  flag: string,
): Readonly<Partial<Record<Signal, number>>> {
  return parsePairs(value, flag, "=", (text) => parseDuration(text, flag), "a duration");
}

function parsePairs<T>(
  value: string,
  flag: string,
  sign: string,
  parse: (text: string) => T | undefined,
  what: string,
): Readonly<Partial<Record<Signal, T>>> {
  const result: Partial<Record<Signal, T>> = {};
  for (const part of value.split(",").filter((one) => one !== "")) {
    const [name = "", amount = ""] = part.split(sign);
    const signal = signals.find((one) => one === name);
    const parsed = signal === undefined ? undefined : parse(amount);
    if (signal === undefined || parsed === undefined) {
      throw new StatusError(
        Code.invalidArgument,
        `${flag}: "${part}" is not SIGNAL${sign}AMOUNT with a signal of ${signals.join(", ")} and ` +
          what,
      );
    }
    result[signal] = parsed;
  }
  return result;
}

function amountOf(text: string): Amount | undefined {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent !== null) return { share: Number(percent[1]) / 100 };
  const quantity = parseQuantity(text);
  return quantity && { units: Number(quantity.nanos / 1_000_000_000n) };
}

/** Throws StatusError: each soft threshold needs a grace period, as upstream's do. */
export function checkSettings({ soft, softGraceMillis }: EvictionSettings): void {
  for (const signal of signals) {
    if (soft[signal] === undefined || softGraceMillis[signal] !== undefined) continue;
    throw new StatusError(
      Code.invalidArgument,
      `--eviction-soft: grace period must be specified for the soft eviction threshold ${signal} ` +
        "(--eviction-soft-grace-period)",
    );
  }
}

/** A threshold with less left than it allows. */
export interface MetThreshold {
  readonly signal: Signal;
  readonly isHard: boolean;
  /** The least that should be left, and what is. */
  readonly quantity: number;
  readonly available: number;
}

interface Kept {
  /** Since when it is crossed, in Unix milliseconds. */
  readonly since: number;
  /** It has called for evictions: more has to come free than the threshold itself. */
  due: boolean;
}

/** Follows the thresholds from one measurement to the next. */
export class ThresholdWatch {
  readonly #settings: EvictionSettings;
  readonly #kept = new Map<string, Kept>();
  #met: readonly MetThreshold[] = [];
  #due: readonly MetThreshold[] = [];

  constructor(settings: EvictionSettings) {
    this.#settings = settings;
  }

  /** What is crossed, also by less time than its grace period. */
  get met(): readonly MetThreshold[] {
    return this.#met;
  }

  /** What calls for evictions; memory first, then as upstream orders the signals. */
  get due(): readonly MetThreshold[] {
    return this.#due;
  }

  observe(measured: Measurements, now: number): void {
    const met: MetThreshold[] = [];
    const due: MetThreshold[] = [];
    for (const isHard of [true, false]) {
      const thresholds = isHard ? this.#settings.hard : this.#settings.soft;
      for (const signal of signals) {
        const found = this.#look(signal, isHard, thresholds[signal], measured[signal], now);
        if (found === undefined) continue;
        met.push(found.threshold);
        if (found.due) due.push(found.threshold);
      }
    }
    this.#met = met;
    this.#due = due;
  }

  #look(
    signal: Signal,
    isHard: boolean,
    amount: Amount | undefined,
    room: Room | undefined,
    now: number,
  ): { readonly threshold: MetThreshold; readonly due: boolean } | undefined {
    const key = `${signal} ${isHard}`;
    const known = this.#kept.get(key);
    if (amount === undefined || room === undefined) {
      this.#kept.delete(key);
      return undefined;
    }
    const quantity = unitsOf(amount, room);
    const reclaim = this.#settings.minimumReclaim[signal];
    const extra = known?.due && reclaim !== undefined ? unitsOf(reclaim, room) : 0;
    if (room.free >= quantity + extra) {
      this.#kept.delete(key);
      return undefined;
    }
    const kept = known ?? { since: now, due: false };
    this.#kept.set(key, kept);
    const grace = isHard ? 0 : (this.#settings.softGraceMillis[signal] ?? 0);
    kept.due ||= now - kept.since >= grace;
    return { threshold: { signal, isHard, quantity, available: room.free }, due: kept.due };
  }
}

function unitsOf(amount: Amount, room: Room): number {
  return "units" in amount ? amount.units : room.total * amount.share;
}
