/**
 * What a scheduler plugin is (upstream `scheduler/framework/interface.go`).
 *
 * Every pod goes through two cycles:
 *
 *   scheduling cycle, one pod at a time   preFilter → filter → (postFilter) → preScore → score
 *                                         → reserve → permit
 *   binding cycle, many pods at a time    wait for permit → preBind → bind → postBind
 *
 * and waits in the queue before that (preEnqueue, queueSort, events). A pod that is refused at
 * reserve or later is unreserved, and waits again.
 */
import type { FencingToken } from "../../../ha/election/mod.ts";
import type { KindName, ObjectTypes } from "../../client/mod.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import type { Cycle } from "./cycle.ts";

/** Why a pod cannot go on, in upstream's words where there are some. */
export interface Refusal {
  /** Never empty; `explain` counts nodes by each. */
  readonly reasons: readonly string[];
  /** True: taking other pods off the node would not help (a wrong label, an untolerated taint). */
  readonly permanent?: boolean;
}

export function refuse(...reasons: string[]): Refusal {
  return { reasons };
}

export function refuseForGood(...reasons: string[]): Refusal {
  return { reasons, permanent: true };
}

/**
 * Something that happened to an object of the cluster. Of pods without a node it is told only that
 * they have come to wait for one: "pending".
 */
export interface ClusterEvent<K extends KindName = KindName> {
  readonly resource: K;
  readonly action: "added" | "updated" | "deleted" | "pending";
  /** Before an update or a deletion. */
  readonly previous?: ObjectTypes[K] | undefined;
  /** After a creation or an update. */
  readonly next?: ObjectTypes[K] | undefined;
}

/**
 * What a plugin waits for: pods that it refused are tried again after such an event. The scheduler
 * watches every resource that some plugin names.
 */
export interface EventRegistration<K extends KindName = KindName> {
  readonly resource: K;
  readonly actions: readonly ClusterEvent["action"][];
  /**
   * Whether this event may help this pod; absent: always. A pure function of its arguments that
   * costs microseconds: it is asked for each waiting pod. When in doubt it answers true; a wrong
   * false lets the pod wait for minutes.
   */
  readonly hint?: (pod: PodInfo, event: ClusterEvent<K>) => boolean;
}

/** Keeps the event's type together with its hint's. */
export function on<K extends KindName>(
  resource: K,
  actions: EventRegistration["actions"],
  hint?: (pod: PodInfo, event: ClusterEvent<K>) => boolean,
): EventRegistration {
  const registration: EventRegistration<K> = { resource, actions, ...(hint && { hint }) };
  return registration as unknown as EventRegistration;
}

/** A pod in the queue, as queueSort sees it. */
export interface QueuedPod {
  readonly info: PodInfo;
  /** Monotonic milliseconds. */
  readonly addedMillis: number;
  /** Counts up: tells apart pods added in one millisecond. */
  readonly order: number;
}

interface PreFilterResult {
  /** The pod fits nowhere, whatever the node. */
  readonly refusal?: Refusal;
  /** This plugin's filter has nothing to say to this pod and is not called. */
  readonly skip?: boolean;
  /** Only these nodes can be right; absent: any. */
  readonly nodeNames?: ReadonlySet<string>;
}

/** Which plugin refused which node why; nodes that were not looked at are missing. */
export type Diagnosis = ReadonlyMap<
  NodeInfo,
  { readonly plugin: string; readonly refusal: Refusal }
>;

/** What a postFilter plugin can try and do. */
export interface PostFilterContext {
  /** Aborted when the scheduler stops leading. */
  readonly signal: AbortSignal;
  /** Guards writes: they are refused when another scheduler leads. */
  readonly fence: FencingToken | undefined;
  /**
   * Why the pod cannot go to the node as things are now supposed to be. The plugin may suppose that
   * pods of the node were gone, or back; everything must be as it was before its first `await`.
   */
  verdict(node: NodeInfo): Refusal | undefined;
  putOn(pod: PodInfo, node: NodeInfo): void;
  takeOff(pod: PodInfo, node: NodeInfo): void;
  /** Refuses a pod that waits for a permit, by key; false: it does not wait for one. */
  refuseParked(key: string, reason: string): boolean;
}

export interface PostFilterResult {
  /** Where room is being made; told in the pod's status. Empty: an earlier nomination is void. */
  readonly nominatedNode?: string;
  /** Appended to the message that tells why the pod fits nowhere. */
  readonly message?: string;
}

/** A node that a pod fits once others have gone. */
export interface Room {
  readonly node: NodeInfo;
  /** Never empty. */
  readonly victims: readonly PodInfo[];
}

export interface PermitWait {
  /** Resolves with nothing to let the pod go on, with a refusal to send it back. */
  readonly until: Promise<Refusal | undefined>;
  /** The pod is refused when this has passed; at most {@link permitMillisMax}. */
  readonly timeoutMillis: number;
}

export const permitMillisMax = 900_000;

/**
 * A rule of the scheduler. It implements the stages it has something to say to; within a stage,
 * plugins are called in the order in which they are listed.
 *
 * - **Purity.** The methods up to `score` read their arguments and `cycle` and change nothing but
 *   `cycle`'s own state. They must not keep node or pod infos beyond the cycle, nor look at clocks,
 *   sockets or random numbers: the same cluster gives the same verdict.
 * - **Cost.** `filter` and `score` run once per node and pod: well under a microsecond, without
 *   allocation. Whatever depends on the pod alone is worked out once, in `preFilter` or
 *   `preScore`, and kept in `cycle` (`write`, `read`). Stages up to `permit` are synchronous,
 *   postFilter apart, and stop all other scheduling while they run.
 * - **Errors.** A refusal is an answer. A thrown error is a fault of the attempt: the pod is tried
 *   again after a backoff, its condition says `SchedulerError`, and other pods are not affected.
 *
 * Example: pods with the label `quiet` share no node with another such pod.
 *
 *     const quiet: Plugin = {
 *       name: "Quiet",
 *       events: [on("Pod", ["deleted"]), on("Node", ["added"])],
 *       preFilter: ({ pod }) => ({ skip: !isQuiet(pod) }),
 *       filter(_cycle, node) {
 *         for (const pod of node.pods.values()) {
 *           if (isQuiet(pod)) return refuse("node(s) had a quiet pod already");
 *         }
 *         return undefined;
 *       },
 *     };
 */
export interface Plugin {
  /** Unique; in logs and in what the queue remembers of a refused pod. */
  readonly name: string;
  readonly events?: readonly EventRegistration[];

  /**
   * Whether the pod may be tried at all. Called when it is added or changed and after this
   * plugin's events; a refused pod costs no attempts.
   */
  preEnqueue?(pod: PodInfo): Refusal | undefined;

  /** The order of the queue, as for `Array.sort`. Exactly one plugin of a scheduler has it. */
  queueSort?(a: QueuedPod, b: QueuedPod): number;

  /** Once per attempt, before any node is looked at. */
  preFilter?(cycle: Cycle): PreFilterResult | undefined;

  /** Whether the pod can run on the node. The first refusal of a node ends its filtering. */
  filter?(cycle: Cycle, node: NodeInfo): Refusal | undefined;

  /**
   * Only of a plugin whose `filter` and `score.points` look at nothing but `cycle.pod` and the node
   * itself, whose `version` counts its changes: what of the pod they look at, as a text. What the
   * plugin says of a node to one pod is then taken to hold for all of the same text, until the node
   * changes (upstream's `SignPlugin`).
   */
  readonly alike?: (pod: PodInfo) => string;

  /**
   * What changes in the state of `preFilter` when a pod came to a node, or left it; called while
   * the scheduler tries what would be if pods were elsewhere, and only for a filter in use.
   */
  podAdded?(cycle: Cycle, pod: PodInfo, node: NodeInfo): void;
  podRemoved?(cycle: Cycle, pod: PodInfo, node: NodeInfo): void;

  /**
   * Only when no node was left: may make room, e.g. by evicting pods of lower priority. The first
   * plugin that names a node ends the stage. May take as long as its API calls.
   */
  postFilter?(
    cycle: Cycle,
    diagnosis: Diagnosis,
    context: PostFilterContext,
  ): PostFilterResult | undefined | Promise<PostFilterResult | undefined>;

  /**
   * The same in two steps, for pods that get nodes together or not at all: `search` looks for room
   * on the cluster as it would be with what was found for the others, and changes nothing; `make`
   * is called only when all have a place.
   */
  readonly room?: {
    search(cycle: Cycle, diagnosis: Diagnosis, context: PostFilterContext): Room | undefined;
    make(cycle: Cycle, room: Room, context: PostFilterContext): Promise<void>;
  };

  /** Before scoring, with the nodes that are left. "skip": this plugin's score is not asked. */
  preScore?(cycle: Cycle, nodes: readonly NodeInfo[]): "skip" | undefined;

  readonly score?: {
    /** Positive; how much a point of this plugin counts beside those of others. */
    readonly weight: number;
    /** Raw points; any finite number if `normalize` is there, else 0..100. */
    points(cycle: Cycle, node: NodeInfo): number;
    /** Brings the points of all nodes to 0..100, in place. */
    normalize?(points: Float64Array): void;
  };

  /** Takes note that the pod goes to the node; a refusal undoes the reservations of all plugins. */
  reserve?(cycle: Cycle, node: NodeInfo): Refusal | undefined;

  /**
   * Undoes `reserve`; called in reverse order, for every plugin, whether it reserved or not.
   * Idempotent; must not throw.
   */
  unreserve?(cycle: Cycle, node: NodeInfo): void;

  /** Lets the pod go on (nothing), refuses it, or makes its binding cycle wait. */
  permit?(cycle: Cycle, node: NodeInfo): Refusal | PermitWait | undefined;

  /** What must be done before the pod is bound, e.g. attaching a volume. May take time. */
  preBind?(cycle: Cycle, node: NodeInfo, signal: AbortSignal): Promise<Refusal | undefined>;

  /**
   * Writes the binding. "skip" leaves it to the next plugin; the first other answer counts. When
   * every plugin skips, the scheduler binds through the API.
   */
  bind?(cycle: Cycle, node: NodeInfo, context: BindContext): Promise<"bound" | "skip">;

  /** Told after the binding; what it throws is logged and changes nothing. */
  postBind?(cycle: Cycle, node: NodeInfo): void;
}

export interface BindContext {
  /** Aborted when the scheduler stops leading. */
  readonly signal: AbortSignal;
  /** Writes the binding through the API, guarded by the leader's fencing token. */
  bind(): Promise<void>;
}
