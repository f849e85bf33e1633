/**
 * CPU and memory of containers that change while they run (KEP-1287).
 *
 * The pod's author says what is desired; the node allocates it where it fits; the runtime then gives
 * it to each container. Between the first two a pod is PodResizePending, between the last two
 * PodResizeInProgress:
 *
 *     desired ──fits──▶ allocated ──runtime──▶ actual
 *        └──does not fit──▶ pending: Infeasible on this node, or Deferred until others have gone
 *
 * What is allocated outlives the kubelet in a file, written at the first resize: without it, it is
 * what the pod asked for when it came.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Container, Pod, ResourceRequirements } from "../../../proto/gen/core.ts";
import { equalJson } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";
import type { Container as RuntimeContainer } from "../runtime/types.ts";
import type { WorkerView } from "./context.ts";
import { oomScoreOf } from "./oom-score.ts";
import { limitsOf } from "./resources.ts";

/** Why a pod cannot have what it desires now. */
export interface ResizeRefusal {
  readonly reason: "Infeasible" | "Deferred";
  readonly message: string;
}

/** What the status tells of a resize. */
export interface ResizeState {
  readonly pending: ResizeRefusal | undefined;
  /** Undefined: none; otherwise what went wrong with it, or "". */
  readonly inProgress: string | undefined;
}

type Resources = Readonly<Record<string, ResourceRequirements>>;

export class PodResize {
  readonly #view: WorkerView;
  readonly #path: string;
  #allocated: Resources;
  /** By the id of a run: what the runtime has given it. */
  readonly #actual = new Map<string, ResourceRequirements>();
  /** Runs that get their resources by a start anew. */
  readonly #restarts = new Set<string>();
  /** The file was there: what adopted runs have is not known. */
  #wasResized: boolean;
  #pending: ResizeRefusal | undefined;
  #problem = "";

  /** `path`: of the file that keeps what is allocated. `pod`: as the API has it. */
  constructor(view: WorkerView, path: string, pod: Pod) {
    this.#view = view;
    this.#path = path;
    const kept = readKept(path);
    this.#wasResized = kept !== undefined;
    this.#allocated = kept ?? resourcesOf(pod);
  }

  /** The pod with what it has been allocated in place of what it desires. */
  effective(desired: Pod): Pod {
    const { spec } = desired;
    if (spec === undefined || equalJson(resourcesOf(desired), this.#allocated)) return desired;
    const given = (list: Container[] | undefined) =>
      list?.map((one) => ({ ...one, resources: this.#allocated[one.name ?? ""] ?? one.resources }));
    const { containers, initContainers } = spec;
    const changed = { ...spec, containers: given(containers) ?? [] };
    if (initContainers !== undefined) changed.initContainers = given(initContainers) ?? [];
    return { ...desired, spec: changed };
  }

  /** Allocates what the pod desires, if the node has it. */
  allocate(desired: Pod): void {
    const wanted = resourcesOf(desired);
    this.#pending = undefined;
    if (equalJson(wanted, this.#allocated)) return;
    this.#pending = this.#view.context.refusesResize(desired);
    if (this.#pending !== undefined) {
      this.#view.wakeAfter(kubeletLimits.resizeRetryMillis);
      return;
    }
    this.#noteActual();
    this.#allocated = wanted;
    mkdirSync(dirname(this.#path), { recursive: true });
    writeFileSync(this.#path, JSON.stringify(wanted));
  }

  /** Gives running containers what they have been allocated. `pod`: the effective one. */
  async actuate(pod: Pod): Promise<void> {
    if (!this.#wasResized) this.#noteActual();
    const { runtime } = this.#view.context;
    this.#problem = "";
    const running = this.#view.runs().filter(({ state }) => state === "running");
    this.#forgetAllBut(new Set(running.map(({ id }) => id)));
    for (const run of running) {
      const container = containersOf(pod).find(({ name }) => name === run.name);
      const wanted = this.#allocated[run.name];
      const actual = this.#actual.get(run.id);
      if (container === undefined || wanted === undefined || equalJson(wanted, actual)) continue;
      if (actual !== undefined && needsRestart(container, actual, wanted)) {
        this.#restarts.add(run.id);
        continue;
      }
      try {
        const { nodeMemoryBytes } = this.#view.context;
        const oomScore = oomScoreOf(pod, container, nodeMemoryBytes);
        await runtime.updateContainer?.(run.id, { ...limitsOf(wanted), oomScore });
        this.#actual.set(run.id, wanted);
        this.#view.retriesOver("resize");
      } catch (error) {
        this.#problem = `container ${run.name}: ${(error as Error).message}`;
        this.#view.wakeAfter(this.#view.retryMillis("resize"));
      }
    }
    this.#wasResized = false;
  }

  mustRestart(id: string): boolean {
    return this.#restarts.has(id);
  }

  state(): ResizeState {
    const running = this.#view.runs().filter(({ state }) => state === "running");
    const going = running.some(({ id, name }) => {
      const actual = this.#actual.get(id);
      return actual !== undefined && !equalJson(actual, this.#allocated[name]);
    });
    const inProgress = going || this.#problem !== "" ? this.#problem : undefined;
    return { pending: this.#pending, inProgress };
  }

  /** Of one run, for its status. */
  resourcesOf({ id, name }: RuntimeContainer): {
    readonly allocated: ResourceRequirements;
    readonly actual: ResourceRequirements;
  } {
    const allocated = this.#allocated[name] ?? {};
    return { allocated, actual: this.#actual.get(id) ?? allocated };
  }

  /** Runs that have been told nothing else have what was allocated at their start. */
  #noteActual(): void {
    for (const { id, name, state } of this.#view.runs()) {
      const allocated = this.#allocated[name];
      if (state !== "running" || allocated === undefined || this.#actual.has(id)) continue;
      this.#actual.set(id, allocated);
    }
  }

  #forgetAllBut(ids: ReadonlySet<string>): void {
    for (const id of this.#actual.keys()) if (!ids.has(id)) this.#actual.delete(id);
    for (const id of this.#restarts) if (!ids.has(id)) this.#restarts.delete(id);
  }
}

function containersOf({ spec = {} }: Pod): readonly Container[] {
  return [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
}

function resourcesOf(pod: Pod): Resources {
  return Object.fromEntries(
    containersOf(pod).map(({ name = "", resources }) => [name, resources ?? {}]),
  );
}

/** Whether a resource has changed whose resizePolicy is RestartContainer. */
function needsRestart(
  { resizePolicy = [] }: Container,
  before: ResourceRequirements,
  after: ResourceRequirements,
): boolean {
  return resizePolicy.some(({ resourceName = "", restartPolicy }) => {
    if (restartPolicy !== "RestartContainer") return false;
    return (["requests", "limits"] as const).some(
      (list) => before[list]?.[resourceName] !== after[list]?.[resourceName],
    );
  });
}

/** Undefined: the pod has never been resized here. */
function readKept(path: string): Resources | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Resources;
  } catch {
    return undefined; // not there, or cut short by a crash: then what is desired is taken
  }
}
