/**
 * How far a proposed number of replicas may be followed now: what was proposed lately, and how fast
 * the number may change (upstream `podautoscaler/horizontal.go`). Pure apart from `History`.
 */
import type {
  HorizontalPodAutoscalerBehavior,
  HPAScalingPolicy,
  HPAScalingRules,
} from "../../../proto/gen/autoscaling_v2.ts";

/** Upstream `horizontal-pod-autoscaler-downscale-stabilization`. */
const downscaleWindowMillis = 300_000;
/** What an autoscaler without a behavior may grow to at once. */
const growthFactor = 2;
const growthFloor = 4;
/** Proposals and changes remembered of one autoscaler, at one each 15 s for more than an hour. */
const rememberedMax = 512;

interface Change {
  readonly atMillis: number;
  /** Positive: replicas added. */
  readonly by: number;
}

/** What one autoscaler has proposed and done lately. */
export class History {
  #proposals: { readonly atMillis: number; readonly replicas: number }[] = [];
  #changes: Change[] = [];

  propose(replicas: number, nowMillis: number): void {
    this.#proposals.push({ atMillis: nowMillis, replicas });
    if (this.#proposals.length > rememberedMax) this.#proposals.shift();
  }

  changed(by: number, nowMillis: number): void {
    this.#changes.push({ atMillis: nowMillis, by });
    if (this.#changes.length > rememberedMax) this.#changes.shift();
  }

  get empty(): boolean {
    return this.#proposals.length === 0;
  }

  /** Not older than the window. */
  proposals(windowMillis: number, nowMillis: number): readonly number[] {
    return this.#proposals
      .filter(({ atMillis }) => atMillis > nowMillis - windowMillis)
      .map(({ replicas }) => replicas);
  }

  /** Replicas added, and taken away, in the last so many seconds. */
  changes(
    seconds: number,
    nowMillis: number,
  ): { readonly added: number; readonly removed: number } {
    let [added, removed] = [0, 0];
    for (const { atMillis, by } of this.#changes) {
      if (atMillis <= nowMillis - seconds * 1_000) continue;
      if (by > 0) added += by;
      else removed -= by;
    }
    return { added, removed };
  }
}

export interface Bounds {
  readonly current: number;
  readonly min: number;
  readonly max: number;
  readonly behavior: HorizontalPodAutoscalerBehavior | undefined;
}

interface Said {
  readonly reason: string;
  readonly message: string;
}

export interface Decision {
  readonly replicas: number;
  readonly able: Said;
  readonly limited: Said & { readonly status: "True" | "False" };
}

const ready: Said = {
  reason: "ReadyForNewScale",
  message: "recommended size matches current size",
};
const stabilizedDown: Said = {
  reason: "ScaleDownStabilized",
  message:
    "recent recommendations were higher than current one, applying the highest recent recommendation",
};
const stabilizedUp: Said = {
  reason: "ScaleUpStabilized",
  message:
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
};
const within: Said = {
  reason: "DesiredWithinRange",
  message: "the desired count is within the acceptable range",
};
const limits = {
  growth: {
    reason: "ScaleUpLimit",
    message: "the desired replica count is increasing faster than the maximum scale rate",
  },
  shrinking: {
    reason: "ScaleDownLimit",
    message: "the desired replica count is decreasing faster than the maximum scale rate",
  },
  max: {
    reason: "TooManyReplicas",
    message: "the desired replica count is more than the maximum replica count",
  },
  min: {
    reason: "TooFewReplicas",
    message: "the desired replica count is less than the minimum replica count",
  },
} satisfies Record<string, Said>;

/** Notes the proposal in the history, and says how much of it is followed. */
export function decide(
  proposed: number,
  bounds: Bounds,
  history: History,
  nowMillis: number,
): Decision {
  const stable = stabilize(proposed, bounds, history, nowMillis);
  history.propose(proposed, nowMillis);
  const { replicas, limit } = bounded(stable.replicas, bounds, history, nowMillis);
  const cut = replicas !== stable.replicas;
  const limited = { status: cut ? "True" : "False", ...(limit ?? within) } as const;
  return { replicas, able: stable.said, limited };
}

/**
 * With a behavior the present size is kept as far as recent proposals allow it: it grows to the
 * lowest of them at most, and shrinks to the highest. Without one the highest counts.
 */
function stabilize(
  proposed: number,
  { current, behavior }: Bounds,
  history: History,
  nowMillis: number,
): { readonly replicas: number; readonly said: Said } {
  const recent = (rules: HPAScalingRules | undefined, fallback: number) => {
    const seconds = rules?.stabilizationWindowSeconds;
    const window = seconds === undefined ? fallback : seconds * 1_000;
    return [proposed, ...history.proposals(window, nowMillis)];
  };
  const highest = Math.max(...recent(behavior?.scaleDown, downscaleWindowMillis));
  const lowest = behavior === undefined ? highest : Math.min(...recent(behavior.scaleUp, 0));
  const replicas = behavior === undefined ? highest : Math.min(Math.max(current, lowest), highest);
  if (replicas === proposed) return { replicas, said: ready };
  const up = behavior !== undefined && proposed >= current;
  return { replicas, said: up ? stabilizedUp : stabilizedDown };
}

function bounded(
  wanted: number,
  bounds: Bounds,
  history: History,
  nowMillis: number,
): { readonly replicas: number; readonly limit?: Said } {
  const { current, min, max, behavior } = bounds;
  if (behavior === undefined) {
    const growth = Math.max(growthFactor * current, growthFloor);
    const most = Math.min(max, growth);
    if (wanted < min) return { replicas: min, limit: limits.min };
    if (wanted <= most) return { replicas: wanted };
    return { replicas: most, limit: max > growth ? limits.growth : limits.max };
  }
  if (wanted > current) {
    const growth = Math.max(current, growthLimit(current, behavior.scaleUp, history, nowMillis));
    const most = Math.min(max, growth);
    if (wanted <= most) return { replicas: wanted };
    return { replicas: most, limit: max > growth ? limits.growth : limits.max };
  }
  if (wanted === current) return { replicas: wanted };
  const shrinking = shrinkLimit(current, behavior.scaleDown, history, nowMillis);
  const least = Math.max(min, Math.min(current, shrinking));
  if (wanted >= least) return { replicas: wanted };
  return { replicas: least, limit: min < shrinking ? limits.shrinking : limits.min };
}

/** The most replicas that the policies allow. */
function growthLimit(
  current: number,
  rules: HPAScalingRules | undefined,
  history: History,
  nowMillis: number,
): number {
  if (rules?.selectPolicy === "Disabled") return current;
  const allowed = (rules?.policies ?? []).map(({ type, value = 0, periodSeconds = 0 }) => {
    const { added, removed } = history.changes(periodSeconds, nowMillis);
    const start = current - added + removed;
    return type === "Pods" ? start + value : Math.ceil(start * (1 + value / 100));
  });
  if (allowed.length === 0) return Number.POSITIVE_INFINITY;
  return rules?.selectPolicy === "Min" ? Math.min(...allowed) : Math.max(...allowed);
}

/** The fewest replicas that the policies allow. */
function shrinkLimit(
  current: number,
  rules: HPAScalingRules | undefined,
  history: History,
  nowMillis: number,
): number {
  if (rules?.selectPolicy === "Disabled") return current;
  const allowed = (rules?.policies ?? []).map((policy: HPAScalingPolicy) => {
    const { type, value = 0, periodSeconds = 0 } = policy;
    const { added, removed } = history.changes(periodSeconds, nowMillis);
    const start = current - added + removed;
    return type === "Pods" ? start - value : Math.trunc(start * (1 - value / 100));
  });
  if (allowed.length === 0) return Number.NEGATIVE_INFINITY;
  return rules?.selectPolicy === "Min" ? Math.max(...allowed) : Math.min(...allowed);
}
