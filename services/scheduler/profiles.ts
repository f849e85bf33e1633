/** The frameworks of a scheduler: one for each name that pods can choose. */
import type { Profile } from "./configuration.ts";
import {
  Framework,
  type FrameworkOptions,
  type Plugin,
  type PluginRefusal,
  type QueuedPod,
} from "./framework/mod.ts";
import type { PodInfo } from "./pod-info.ts";

export class Profiles {
  readonly #frameworks: ReadonlyMap<string, Framework>;
  readonly #first: Framework;
  /** Of all profiles, each once. */
  readonly plugins: readonly Plugin[];

  /** The order of the queue is that of the first profile. */
  constructor(profiles: readonly Profile[], options: Pick<FrameworkOptions, "random" | "after">) {
    const made = profiles.map(({ schedulerName, plugins, percentageOfNodesToScore }) => {
      const framework = new Framework({ ...options, plugins, percentageOfNodesToScore });
      return [schedulerName, framework] as const;
    });
    const [first] = made;
    if (first === undefined) throw new RangeError("a scheduler without profiles");
    this.#frameworks = new Map(made);
    this.#first = first[1];
    const all = profiles.flatMap(({ plugins }) => plugins);
    this.plugins = [...new Map(all.map((plugin) => [plugin.name, plugin])).values()];
  }

  /** Whether pods of this `spec.schedulerName` are this scheduler's. */
  has(schedulerName: string): boolean {
    return this.#frameworks.has(schedulerName);
  }

  of({ pod }: PodInfo): Framework {
    return this.#frameworks.get(pod.spec?.schedulerName ?? "default-scheduler") ?? this.#first;
  }

  compare(a: QueuedPod, b: QueuedPod): number {
    return this.#first.compare(a, b);
  }

  preEnqueue(info: PodInfo): PluginRefusal | undefined {
    return this.of(info).preEnqueue(info);
  }
}
