/** Starts a pod's containers: image, configuration, create, start, postStart hook. */
import type { Container, Pod } from "../../../proto/gen/core.ts";
import { kubeletLimits } from "../limits.ts";
import { ContainerConfigError, type Container as RuntimeContainer } from "../runtime/types.ts";
import type { WorkerView } from "./context.ts";
import type { PodFacts } from "./environment.ts";
import { isAccountMount, refuseUnfulfillable } from "./fields.ts";
import { runHook } from "./hooks.ts";
import { ImagePulls } from "./image-pulls.ts";
import type { PodVolumes } from "./pod-volumes.ts";
import { checkNonRoot, containerConfig } from "./start.ts";
import { StartProblem } from "./start-problem.ts";
import type { Waiting } from "./status.ts";
import type { TerminationMessages } from "./termination-message.ts";

export interface StartStep {
  readonly container: Container;
  readonly attempt: number;
}

export class ContainerStarter {
  readonly #view: WorkerView;
  readonly #messages: TerminationMessages;
  readonly #volumes: PodVolumes;
  readonly #stop: (run: RuntimeContainer) => void;
  readonly #pulls: ImagePulls;
  readonly #problems = new Map<string, Waiting & { readonly retryAt: number }>();

  /** `stop` ends a container whose postStart hook has failed. */
  constructor(
    view: WorkerView,
    messages: TerminationMessages,
    volumes: PodVolumes,
    stop: (run: RuntimeContainer) => void,
  ) {
    this.#view = view;
    this.#messages = messages;
    this.#volumes = volumes;
    this.#stop = stop;
    this.#pulls = new ImagePulls(view);
  }

  /** Why containers wait, by name. */
  problems(): ReadonlyMap<string, Waiting> {
    return this.#problems;
  }

  /** False: it could not be made, and is tried again later; `problems` says why. */
  async start(facts: PodFacts, step: StartStep): Promise<boolean> {
    const { runtime, clock } = this.#view.context;
    const { container } = step;
    const name = container.name ?? "";
    const problem = this.#problems.get(name);
    const waits = problem === undefined ? 0 : problem.retryAt - clock.monotonicMillis();
    if (waits > 0) {
      this.#view.wakeAfter(waits);
      return false;
    }
    let id: string;
    try {
      id = await this.#create(facts, step);
    } catch (error) {
      this.#failed(name, error);
      return false;
    }
    this.#problems.delete(name);
    this.#view.retriesOver(name);
    this.#view.event("Normal", "Created", `Created container: ${name}`, name);
    await runtime.startContainer(id);
    const run = this.#view.runs().find((one) => one.id === id);
    if (run?.reason === "StartError") {
      const text = `Error: failed to start container ${name}: ${run.message}`;
      this.#view.event("Warning", "Failed", text, name);
      return true;
    }
    this.#view.event("Normal", "Started", `Started container ${name}`, name);
    await this.#postStart(facts, container, id);
    return true;
  }

  #failed(name: string, error: unknown): void {
    const { message } = error as Error;
    const known =
      error instanceof StartProblem
        ? error
        : new StartProblem(
            error instanceof ContainerConfigError
              ? "CreateContainerConfigError"
              : "CreateContainerError",
            message,
          );
    const retryMillis = known.retryMillis ?? this.#view.retryMillis(name);
    const retryAt = this.#view.context.clock.monotonicMillis() + retryMillis;
    this.#problems.set(name, { reason: known.reason, message, retryAt });
    this.#view.event("Warning", "Failed", known.event, name);
    this.#view.wakeAfter(retryMillis);
  }

  async #create(facts: PodFacts, step: StartStep): Promise<string> {
    const { runtime, config, services } = this.#view.context;
    const { attempt } = step;
    const features = runtime.features();
    await this.#pulls.ensure(step.container);
    refuseUnfulfillable(facts.pod.spec ?? {}, step.container, features);
    const { user } = runtime.images.status(step.container.image ?? "") ?? {};
    checkNonRoot(facts.pod, step.container, user);
    await this.#pullVolumes(facts.pod, step.container);
    const container = features.privateMounts ? step.container : withoutToken(step.container);
    const wanted = await containerConfig(
      facts,
      container,
      attempt,
      this.#volumes.paths,
      services(),
      config,
    );
    await this.#prune(container.name ?? "", attempt);
    const message = this.#messages.prepare(container, attempt);
    const mounts = [...wanted.mounts, ...this.#volumes.hostsMounts(wanted.mounts)];
    const taken = new Set(mounts.map(({ containerPath }) => containerPath));
    return runtime.createContainer({
      ...wanted,
      env: { ...message.env, ...wanted.env },
      // A volume at the same path is what the container asked for.
      mounts: [...mounts, ...message.mounts.filter((one) => !taken.has(one.containerPath))],
    });
  }

  /** The images that the container mounts as volumes. */
  async #pullVolumes({ spec }: Pod, { name, volumeMounts = [] }: Container): Promise<void> {
    for (const { name: volume, image } of spec?.volumes ?? []) {
      if (image === undefined || !volumeMounts.some((mount) => mount.name === volume)) continue;
      await this.#pulls.ensure({ name, image: image.reference, imagePullPolicy: image.pullPolicy });
    }
  }

  async #postStart(facts: PodFacts, container: Container, id: string): Promise<void> {
    const hook = container.lifecycle?.postStart;
    if (hook === undefined) return;
    const { runtime, clock } = this.#view.context;
    const target = { pod: facts.pod, podIP: facts.podIP, container, id };
    const { signal } = new AbortController();
    const limit = kubeletLimits.hookMillisMax;
    const failure = await runHook(hook, target, runtime, clock, limit, signal);
    if (failure === undefined) return;
    const { name } = container;
    this.#view.event("Warning", "FailedPostStartHook", `PostStartHook failed: ${failure}`, name);
    this.#view.event("Normal", "Killing", "FailedPostStartHook", name);
    const run = this.#view.runs().find((one) => one.id === id);
    if (run !== undefined) this.#stop(run);
  }

  /** Forgets all runs of a container but the last that ended. */
  async #prune(name: string, nextAttempt: number): Promise<void> {
    for (const run of this.#view.runs()) {
      if (run.name !== name || run.state === "running") continue;
      const keep =
        run.state === "exited" && run.attempt >= nextAttempt - kubeletLimits.deadContainersPerName;
      if (keep) continue;
      await this.#view.context.runtime.removeContainer(run.id);
      this.#messages.remove(run);
    }
  }
}

function withoutToken(container: Container): Container {
  const { volumeMounts = [] } = container;
  return { ...container, volumeMounts: volumeMounts.filter((mount) => !isAccountMount(mount)) };
}
