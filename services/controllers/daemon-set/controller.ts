import type { StatusError } from "../../../ha/runtime/status-error.ts";
import type { DaemonSet } from "../../../proto/gen/apps.ts";
import type { Node, Pod } from "../../../proto/gen/core.ts";
import { type Again, Backoff, keyOf, splitKey } from "../../client/mod.ts";
import { matchesLabels, selectorOf } from "../../kinds/facts.ts";
import { canonical } from "../canonical.ts";
import { controllerOf } from "../owners.ts";
import { PodControl } from "../pod-control/pod-control.ts";
import { isAvailable, isReady } from "../pods.ts";
import { RevisionHistory } from "../revision-history.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { daemonPod, hashLabel, nodeOf } from "./daemon-pod.ts";
import {
  coverage,
  hashOfPod,
  isRolling,
  nodesOf,
  rollOut,
  type Situation,
  statusOf,
} from "./plan.ts";

/** Pods created or deleted in one reconciliation (upstream `BurstReplicas`). */
const burstMax = 250;
const backoffMillis = { first: 1_000, ceiling: 15 * 60_000 } as const;

/** Keeps one pod of each DaemonSet on every node that wants it. */
export function daemonSetController(workers: number): Controller {
  return {
    name: "daemonset",
    informers: ["DaemonSet", "Pod", "Node", "ControllerRevision"],
    workers,
    start(context) {
      const loop = new DaemonSetLoop(context);
      loop.watch();
      return (key) => loop.reconcile(key);
    },
  };
}

const about = (set: DaemonSet) => ({ ...set, apiVersion: "apps/v1", kind: "DaemonSet" });

/** When the ended pods of a node may be replaced next. */
interface Pause {
  readonly backoff: Backoff;
  untilMillis: number;
}

class DaemonSetLoop {
  readonly #context: ControllerContext;
  readonly #pods: PodControl<DaemonSet>;
  readonly #history: RevisionHistory<DaemonSet>;
  /** By set, then by node. */
  readonly #pauses = new Map<string, Map<string, Pause>>();

  constructor(context: ControllerContext) {
    const { client, informer } = context;
    const read = (name: string, namespace: string | undefined) =>
      client.daemonSets.get(name, namespace);
    this.#context = context;
    this.#pods = new PodControl<DaemonSet>(context, {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      cached: (name, namespace) => informer("DaemonSet").lister.get(name, namespace),
      read,
    });
    this.#history = new RevisionHistory(context, { kind: "DaemonSet", hashLabel, read });
  }

  watch(): void {
    const { on, queue, informer } = this.#context;
    on("DaemonSet", {
      added: (set) => queue.add(keyOf(set)),
      updated: (_, set) => queue.add(keyOf(set)),
      deleted: (set) => {
        this.#pods.forget(keyOf(set));
        queue.add(keyOf(set));
      },
    });
    this.#pods.watch({
      owned: (key, set, pod, previous) => {
        queue.add(key);
        const seconds = set.spec?.minReadySeconds ?? 0;
        // A moment more, because transition times are whole seconds.
        if (seconds > 0 && previous && !isReady(previous) && isReady(pod)) {
          queue.addAfter(key, (seconds + 1) * 1000);
        }
      },
      orphaned: (pod) => {
        for (const set of informer("DaemonSet").lister.list(pod.metadata?.namespace)) {
          const selector = selectorOf(set.spec?.selector);
          if (matchesLabels(selector, pod.metadata?.labels)) queue.add(keyOf(set));
        }
      },
    });
    // A pod that is gone at last makes room for the next.
    on("Pod", {
      deleted: ({ metadata, ...pod }) => {
        const owner = controllerOf({ metadata, ...pod });
        if (owner?.kind === "DaemonSet") queue.add(`${metadata?.namespace}/${owner.name}`);
      },
    });
    const all = () => {
      for (const set of informer("DaemonSet").lister.list()) queue.add(keyOf(set));
    };
    const view = ({ metadata, spec }: Node) => canonical([metadata?.labels, spec?.taints]);
    on("Node", {
      added: all,
      updated: (previous, node) => {
        if (view(previous) !== view(node)) all();
      },
      deleted: all,
    });
  }

  async reconcile(key: string): Promise<Again | undefined> {
    const { clock, informer } = this.#context;
    const { name, namespace = "" } = splitKey(key);
    const set = informer("DaemonSet").lister.get(name, namespace);
    if (!set) {
      this.#pods.forget(key);
      this.#pauses.delete(key);
      return undefined;
    }
    const settled = this.#pods.settled(key);
    const selector = selectorOf(set.spec?.selector);
    const pods = await this.#pods.claim(set, informer("Pod").lister.list(namespace), (pod) =>
      matchesLabels(selector, pod.metadata?.labels),
    );
    const { revision, collisionCount, all } = await this.#history.present(set);
    const now = clock.wallMillis();
    const hash = revision.metadata?.labels?.[hashLabel] ?? "";
    const nodes = nodesOf(set, informer("Node").lister.list(), pods);
    const situation: Situation = { set, hash, nodes, now };
    let failure: StatusError | undefined;
    let pauseMillis: number | undefined;
    if (settled && !set.metadata?.deletionTimestamp) {
      ({ failure, pauseMillis } = await this.#manage(key, situation));
    }
    await this.#writeStatus(situation, collisionCount);
    if (failure !== undefined) throw failure;
    const hashes = new Set([hash, ...pods.map(hashOfPod)]);
    const live = all.filter(({ metadata }) => hashes.has(metadata?.labels?.[hashLabel]));
    const names = new Set(live.map(({ metadata }) => metadata?.name ?? ""));
    await this.#history.truncate(set, all, names);
    const minReady = set.spec?.minReadySeconds ?? 0;
    const waiting = pods.some((pod) => isReady(pod) && !isAvailable(pod, minReady, now));
    const waits = [pauseMillis, waiting ? 1000 : undefined].filter((each) => each !== undefined);
    return waits.length === 0 ? undefined : { after: Math.max(1, Math.min(...waits)) };
  }

  /** First every node gets what it wants; only then a rollout goes on. */
  async #manage(
    key: string,
    situation: Situation,
  ): Promise<{ failure: StatusError | undefined; pauseMillis: number | undefined }> {
    const { set, hash } = situation;
    let plan = coverage(situation);
    const { due, pauseMillis } = this.#dueOf(key, situation, plan.ended);
    const idle = plan.create.length + plan.delete.length + due.length === 0;
    if (idle && isRolling(set)) plan = rollOut(situation);
    const gone = [...plan.delete, ...due].slice(0, burstMax);
    let failure = gone.length > 0 ? await this.#pods.delete(set, gone) : undefined;
    const names = plan.create.slice(0, burstMax);
    if (names.length > 0) {
      const next = names.values();
      const base = this.#pods.podOf(set, set.spec?.template);
      const make = () => daemonPod(set, base, hash, next.next().value ?? "");
      failure = (await this.#pods.create(set, names.length, make)) ?? failure;
    }
    return { failure, pauseMillis };
  }

  /** Pods that ended are replaced at once the first time, and ever later when it happens again. */
  #dueOf(
    key: string,
    { set, nodes, now }: Situation,
    ended: readonly Pod[],
  ): { due: Pod[]; pauseMillis: number | undefined } {
    const { recorder } = this.#context;
    const pauses = this.#pauses.get(key) ?? new Map<string, Pause>();
    this.#pauses.set(key, pauses);
    const known = new Set(nodes.map(({ node }) => node));
    for (const node of pauses.keys()) if (!known.has(node)) pauses.delete(node);
    const due: Pod[] = [];
    let pauseMillis: number | undefined;
    for (const pod of ended) {
      const node = nodeOf(pod) ?? "";
      const failed = pod.status?.phase === "Failed";
      const pause = pauses.get(node) ?? newPause();
      if (failed && pause.untilMillis > now) {
        pauseMillis = Math.min(pauseMillis ?? Infinity, pause.untilMillis - now);
        continue;
      }
      if (failed) {
        // A node whose pods ran well for a while begins from the shortest pause again.
        if (now - pause.untilMillis > 2 * backoffMillis.ceiling) pause.backoff.reset();
        pause.untilMillis = now + pause.backoff.next();
        pauses.set(node, pause);
      }
      const [state, reason, type] = failed
        ? (["failed", "FailedDaemonPod", "Warning"] as const)
        : (["succeeded", "SucceededDaemonPod", "Normal"] as const);
      const text = `Found ${state} daemon pod ${keyOf(pod)} on node ${node}, will try to `;
      recorder.event(about(set), type, reason, text + (failed ? "kill it" : "delete it"));
      due.push(pod);
    }
    return { due, pauseMillis };
  }

  async #writeStatus(situation: Situation, collisionCount: number): Promise<void> {
    const { client, write } = this.#context;
    const { set } = situation;
    const status = statusOf(situation, collisionCount);
    if (canonical(set.status ?? {}) === canonical(status)) return;
    await client.daemonSets.updateStatus({ ...set, status }, write);
  }
}

function newPause(): Pause {
  return { backoff: new Backoff(backoffMillis.first, backoffMillis.ceiling), untilMillis: 0 };
}
