/** The runs of static pods: a manifest that comes begins one, a manifest that goes ends it. */
import type { Pod, PodStatusReport } from "../../../proto/gen/core.ts";
import { rfc3339Seconds } from "../../kinds/facts.ts";
import type { PodWorker } from "../pod/worker.ts";
import type { PodSandbox } from "../runtime/types.ts";
import type { StaticPods } from "./static-pods.ts";

interface StaticRunsOptions {
  readonly pods: StaticPods;
  readonly workers: ReadonlyMap<string, PodWorker>;
  readonly sandboxes: () => readonly PodSandbox[];
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Begins a pod that runs nowhere. */
  readonly begin: (pod: Pod) => void;
  /** Acts soon, after what is under way now. */
  readonly soon: (act: () => void) => void;
}

export class StaticRuns {
  readonly #options: StaticRunsOptions;
  /** Of pods that a file asked for, until nothing is left of them. */
  readonly #uids = new Set<string>();

  constructor(options: StaticRunsOptions) {
    this.#options = options;
  }

  /** `pods`: every static pod that the manifests describe now. */
  changed(pods: readonly Pod[]): void {
    const known = this.#options.pods;
    const wanted = new Set(pods.map(({ metadata }) => metadata?.uid));
    for (const pod of known.all()) {
      const uid = pod.metadata?.uid ?? "";
      if (wanted.has(uid)) continue;
      known.remove(uid);
      this.#end(uid, pod);
    }
    for (const pod of pods) if (!known.has(pod.metadata?.uid ?? "")) known.add(pod);
    this.begin();
  }

  /** Begins what does not run yet, each pod when no older one of its name is left. */
  begin(): void {
    const { pods, workers, sandboxes } = this.#options;
    for (const pod of pods.all()) {
      const { uid = "", name, namespace } = pod.metadata ?? {};
      if (workers.has(uid)) continue;
      const older = sandboxes().some((one) => {
        return one.name === name && one.namespace === namespace && one.uid !== uid;
      });
      const ending = [...workers.values()].some(({ pod: { metadata } }) => {
        return metadata?.name === name && metadata?.namespace === namespace;
      });
      if (older || ending) continue;
      this.#uids.add(uid);
      this.#options.begin(pod);
    }
  }

  /** False: the report is about no static pod. */
  report(report: PodStatusReport): boolean {
    const uid = report.uid ?? "";
    if (!this.#uids.has(uid)) return false;
    const { pods, workers, soon } = this.#options;
    pods.report(report);
    // That nothing is left of a static pod is no matter of the API.
    if (report.removed) soon(() => workers.get(uid)?.acknowledge());
    return true;
  }

  forget(uid: string): void {
    this.#uids.delete(uid);
  }

  /** As a deletion ends a pod of the API. */
  #end(uid: string, pod: Pod): void {
    const metadata = {
      ...pod.metadata,
      deletionTimestamp: rfc3339Seconds(this.#options.now()),
      deletionGracePeriodSeconds: pod.spec?.terminationGracePeriodSeconds ?? 30,
    };
    this.#options.workers.get(uid)?.update({ ...pod, metadata });
  }
}
