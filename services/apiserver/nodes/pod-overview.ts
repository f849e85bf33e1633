/** How many pods are in which state, for those who watch the cluster and not each pod. */
import type { PodLine, PodsOverview } from "../../../proto/gen/cluster.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { podStatusFields, summarisePod } from "../../kinds/mod.ts";
import { limits } from "../limits.ts";
import type { KindCache } from "../storage/kind-cache.ts";
import type { StoredObject } from "../storage/stored-object.ts";

interface Overview {
  /** Of the last change of a pod that it knows. */
  readonly revision: number;
  readonly statuses: Record<string, number>;
  /** The first by namespace and name. */
  readonly lines: readonly PodLine[];
}

/** What no key that is known opens. */
const unreadable = "Unreadable";

export class PodOverview {
  readonly #pods: KindCache;
  /** What `get pods` shows; worked out once for each version of a pod. */
  readonly #statuses = new WeakMap<StoredObject, string>();
  readonly #lines = new WeakMap<StoredObject, PodLine>();
  #made: Overview | undefined;
  #making: Promise<Overview> | undefined;

  constructor(pods: KindCache) {
    this.#pods = pods;
  }

  /** As of now; names so many pods. Made once for all who ask while no pod changes. */
  async first(count: number): Promise<PodsOverview> {
    const { statuses, lines } = await this.#present();
    return { statuses, pods: lines.slice(0, count) };
  }

  async #present(): Promise<Overview> {
    if (this.#made?.revision === this.#pods.lastChange) return this.#made;
    this.#making ??= this.#make();
    try {
      this.#made = await this.#making;
    } finally {
      this.#making = undefined;
    }
    return this.#made;
  }

  async #make(): Promise<Overview> {
    const revision = this.#pods.lastChange;
    const statuses: Record<string, number> = {};
    const lines: PodLine[] = [];
    for (const objects of this.#pods.view().runs("", "")) {
      for (const object of objects) {
        const status = this.#statusOf(object);
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (lines.length < limits.overviewPods) lines.push(this.#lineOf(object));
      }
      // Others have their turn meanwhile: thousands of pods may have changed.
      await new Promise(setImmediate);
    }
    return { revision, statuses, lines };
  }

  #statusOf(object: StoredObject): string {
    let status = this.#statuses.get(object);
    if (status === undefined) {
      status = statusIn(object);
      this.#statuses.set(object, status);
    }
    return status;
  }

  #lineOf(object: StoredObject): PodLine {
    let line = this.#lines.get(object);
    if (line === undefined) {
      const status = this.#statusOf(object);
      const { metadata, spec } = object.readable ? (object.read() as Pod) : {};
      const { namespace = "", name = "" } = metadata ?? {};
      line = { namespace, name, status, ...(spec?.nodeName && { node: spec.nodeName }) };
      this.#lines.set(object, line);
    }
    return line;
  }
}

/** Most pods need not be parsed for it. */
function statusIn(object: StoredObject): string {
  if (!object.readable) return unreadable;
  if (podStatusFields.some((name) => object.mayHave(name))) {
    return summarisePod(object.read() as Pod).status;
  }
  return phaseIn(object.value) ?? (object.field("status.phase") || "Pending");
}

const phaseStart = Buffer.from('"status":{"phase":"');
const quote = 0x22;

/** Undefined: the phase is not the first field of the status, and the pod is to be parsed for it. */
function phaseIn(text: Buffer): string | undefined {
  const start = text.indexOf(phaseStart) + phaseStart.length;
  if (start < phaseStart.length) return undefined;
  return text.toString("latin1", start, text.indexOf(quote, start));
}
