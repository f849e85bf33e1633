import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerCondition,
  HorizontalPodAutoscalerStatus,
  MetricStatus,
} from "../../../proto/gen/autoscaling_v2.ts";
import type { PodMetrics } from "../../../proto/gen/metrics.ts";
import { type Again, keyOf, splitKey } from "../../client/mod.ts";
import { equalJson, rfc3339Seconds, withCondition } from "../../kinds/facts.ts";
import { canonical } from "../canonical.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { decide, History } from "./behavior.ts";
import { proposeAll } from "./metrics.ts";
import { PodClaims } from "./pod-claims.ts";
import { type ScaleTarget, scaleTarget } from "./target.ts";

/** Upstream's default of `horizontal-pod-autoscaler-sync-period`. */
const periodMillisDefault = 15_000;

const podMetrics = {
  apiVersion: "metrics.k8s.io/v1beta1",
  kind: "PodMetrics",
  resource: "pods",
};

export interface AutoscalerOptions {
  readonly workers: number;
  /** How often each autoscaler is looked at; default: every 15 s. */
  readonly periodMillis?: number | undefined;
  /** What the pods of a namespace use; absent: as metrics.k8s.io says. */
  readonly metrics?: (namespace: string) => Promise<readonly PodMetrics[]>;
}

/** Scales workloads by what their pods use. */
export function horizontalPodAutoscalerController(options: AutoscalerOptions): Controller {
  return {
    name: "horizontal-pod-autoscaler",
    component: "horizontal-pod-autoscaler",
    informers: ["HorizontalPodAutoscaler", "Pod"],
    workers: options.workers,
    start(context) {
      const { informer, on, queue } = context;
      const histories = new Map<string, History>();
      const claims = new PodClaims();
      on("HorizontalPodAutoscaler", {
        added: (autoscaler) => queue.add(keyOf(autoscaler)),
        updated(previous, autoscaler) {
          if (!equalJson(previous.spec, autoscaler.spec)) queue.add(keyOf(autoscaler));
        },
      });
      return async (key) => {
        const { name, namespace } = splitKey(key);
        const autoscaler = informer("HorizontalPodAutoscaler").lister.get(name, namespace);
        if (!autoscaler || autoscaler.metadata?.deletionTimestamp) {
          histories.delete(key);
          claims.forget(key);
          return undefined;
        }
        let history = histories.get(key);
        if (history === undefined) {
          history = new History();
          histories.set(key, history);
        }
        return new Round(context, options, autoscaler, history, claims).run();
      };
    },
  };
}

/** One look at one autoscaler; gathers what its status is to say. */
class Round {
  readonly #context: ControllerContext;
  readonly #options: AutoscalerOptions;
  readonly #autoscaler: HorizontalPodAutoscaler;
  readonly #history: History;
  readonly #claims: PodClaims;
  readonly #nowMillis: number;
  #conditions: HorizontalPodAutoscalerCondition[];
  #metrics: readonly MetricStatus[] | undefined;

  constructor(
    context: ControllerContext,
    options: AutoscalerOptions,
    autoscaler: HorizontalPodAutoscaler,
    history: History,
    claims: PodClaims,
  ) {
    this.#context = context;
    this.#options = options;
    this.#autoscaler = autoscaler;
    this.#history = history;
    this.#claims = claims;
    this.#nowMillis = context.clock.wallMillis();
    this.#conditions = [...(autoscaler.status?.conditions ?? [])];
  }

  async run(): Promise<Again> {
    const { periodMillis: after = periodMillisDefault } = this.#options;
    const { scaleTargetRef = {} } = this.#autoscaler.spec ?? {};
    const { namespace } = this.#autoscaler.metadata ?? {};
    let target: ScaleTarget;
    try {
      target = await scaleTarget(this.#context, scaleTargetRef, namespace);
    } catch (error) {
      const { message } = error as Error;
      const text = `the HPA controller was unable to get the target's current scale: ${message}`;
      this.#event("Warning", "FailedGetScale", message);
      this.#condition("AbleToScale", "False", "FailedGetScale", text);
      await this.#write({});
      return { after };
    }
    const got = "the HPA controller was able to get the target's current scale";
    this.#condition("AbleToScale", "True", "SucceededGetScale", got);
    await this.#scale(target);
    return { after };
  }

  async #scale(target: ScaleTarget): Promise<void> {
    const { minReplicas = 1, maxReplicas = 1 } = this.#autoscaler.spec ?? {};
    const { replicas: current } = target;
    if (this.#history.empty) this.#history.propose(current, this.#nowMillis);
    if (current === 0 && minReplicas !== 0) {
      const text = "scaling is disabled since the replica count of the target is zero";
      this.#condition("ScalingActive", "False", "ScalingDisabled", text);
      return this.#finish(target, 0, "");
    }
    if (current > maxReplicas) {
      const reason = "Current number of replicas above Spec.MaxReplicas";
      return this.#finish(target, maxReplicas, reason);
    }
    if (current < minReplicas) {
      const reason = "Current number of replicas below Spec.MinReplicas";
      return this.#finish(target, minReplicas, reason);
    }
    const proposed = await this.#propose(target);
    if (proposed === undefined) return this.#write({ currentReplicas: current });
    const { behavior } = this.#autoscaler.spec ?? {};
    const bounds = { current, min: minReplicas, max: maxReplicas, behavior };
    const { replicas, able, limited } = decide(
      proposed.replicas,
      bounds,
      this.#history,
      this.#nowMillis,
    );
    this.#condition("AbleToScale", "True", able.reason, able.message);
    this.#condition("ScalingLimited", limited.status, limited.reason, limited.message);
    const reason =
      replicas > current ? `${proposed.metric} above target` : "All metrics below target";
    return this.#finish(target, replicas, reason);
  }

  /** Undefined: not enough is known, as the condition says. */
  async #propose(target: ScaleTarget) {
    const { selector, selects } = target;
    const { spec = {}, metadata } = this.#autoscaler;
    const { namespace = "" } = metadata ?? {};
    if (selects === undefined) {
      this.#event("Warning", "SelectorRequired", "selector is required");
      const text = "the HPA target's scale is missing a selector";
      this.#condition("ScalingActive", "False", "InvalidSelector", text);
      this.#event("Warning", "FailedComputeMetricsReplicas", "selector is required");
      return undefined;
    }
    const { client, informer } = this.#context;
    const pods = informer("Pod")
      .lister.list(namespace)
      .filter((pod) => selects(pod.metadata?.labels));
    const rivals = this.#claims.note(keyOf(this.#autoscaler), selects, pods);
    if (rivals.length > 1) {
      const text = `pods by selector ${selector} are controlled by multiple HPAs: [${rivals.join(" ")}]`;
      this.#event("Warning", "AmbiguousSelector", text);
      this.#condition("ScalingActive", "False", "AmbiguousSelector", text);
      this.#event("Warning", "FailedComputeMetricsReplicas", text);
      return undefined;
    }
    const names = new Set(pods.map((pod) => pod.metadata?.name));
    const all =
      (await this.#options.metrics?.(namespace)) ??
      ((await client.dynamic.list(podMetrics, { namespace })).items as readonly PodMetrics[]);
    const measured = {
      pods,
      metrics: all.filter((one) => names.has(one.metadata?.name)),
      nowMillis: this.#nowMillis,
    };
    const { best, statuses, failures } = proposeAll(spec, target.replicas, measured);
    this.#metrics = statuses;
    for (const { reason, message } of failures) this.#event("Warning", reason, message);
    const [first] = failures;
    if (best !== undefined) {
      const text = `the HPA was able to successfully calculate a replica count from ${best.metric}`;
      this.#condition("ScalingActive", "True", "ValidMetricFound", text);
      return best;
    }
    if (first === undefined) return undefined;
    const text = `the HPA was unable to compute the replica count: ${first.message}`;
    this.#condition("ScalingActive", "False", first.reason, text);
    const count = spec.metrics?.length ?? 0;
    this.#event(
      "Warning",
      "FailedComputeMetricsReplicas",
      `invalid metrics (${failures.length} invalid out of ${count}), first error is: ${first.whole}`,
    );
    return undefined;
  }

  async #finish(target: ScaleTarget, desired: number, reason: string): Promise<void> {
    const { replicas: current } = target;
    const rescaled = desired !== current;
    if (rescaled) {
      try {
        await target.setReplicas(desired);
      } catch (error) {
        const { message } = error as Error;
        const what = `New size: ${desired}; reason: ${reason}; error: ${message}`;
        this.#event("Warning", "FailedRescale", what);
        const text = `the HPA controller was unable to update the target scale: ${message}`;
        this.#condition("AbleToScale", "False", "FailedUpdateScale", text);
        await this.#write({ currentReplicas: current });
        throw error;
      }
      const text = `the HPA controller was able to update the target scale to ${desired}`;
      this.#condition("AbleToScale", "True", "SucceededRescale", text);
      this.#event("Normal", "SuccessfulRescale", `New size: ${desired}; reason: ${reason}`);
      this.#history.changed(desired - current, this.#nowMillis);
    }
    await this.#write({
      currentReplicas: current,
      desiredReplicas: desired,
      ...(rescaled && { lastScaleTime: rfc3339Seconds(this.#nowMillis) }),
    });
  }

  #condition(type: string, status: string, reason: string, message: string): void {
    const condition = { type, status, reason, message };
    this.#conditions = withCondition(this.#conditions, condition, this.#nowMillis);
  }

  #event(type: "Normal" | "Warning", reason: string, message: string): void {
    const about = {
      ...this.#autoscaler,
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
    };
    this.#context.recorder.event(about, type, reason, message);
  }

  async #write(change: HorizontalPodAutoscalerStatus): Promise<void> {
    const { client, write } = this.#context;
    const before = this.#autoscaler.status ?? {};
    const { generation } = this.#autoscaler.metadata ?? {};
    const status: HorizontalPodAutoscalerStatus = {
      ...before,
      ...change,
      desiredReplicas: change.desiredReplicas ?? before.desiredReplicas ?? 0,
      conditions: this.#conditions,
      ...(this.#metrics !== undefined && { currentMetrics: [...this.#metrics] }),
      ...(generation !== undefined && { observedGeneration: generation }),
    };
    if (canonical(status) === canonical(before)) return;
    await client.horizontalPodAutoscalers.updateStatus({ ...this.#autoscaler, status }, write);
  }
}
