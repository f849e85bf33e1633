/** Tells the apiserver a pod's status, each time it has changed. */
import type { Container, PodStatus, PodStatusReport } from "../../../proto/gen/core.ts";
import type { Container as RuntimeContainer } from "../runtime/types.ts";
import type { WorkerView } from "./context.ts";
import { podIPsOf } from "./pod-ips.ts";
import { generateStatus, type StatusFacts, type Waiting } from "./status.ts";

export interface PodState {
  /** Why containers wait, by name. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** The kubelet ends the pod for this reason. */
  readonly failure: StatusFacts["failure"];
  /** Nothing of the pod will ever run again. */
  readonly over: boolean;
  /** Nothing of the pod is left here: its object may go. */
  readonly removed: boolean;
  readonly ready: (id: string, container: Container) => boolean;
  readonly started: (id: string, container: Container) => boolean;
  readonly message: (run: RuntimeContainer) => string | undefined;
  readonly resources: StatusFacts["resources"];
  readonly resize: StatusFacts["resize"];
}

export class StatusReporter {
  readonly #view: WorkerView;
  readonly #uid: string;
  #status: PodStatus | undefined;
  #lastReport = "";
  #removedReported = false;

  /** `status`: what the API knows already. */
  constructor(view: WorkerView, uid: string, status: PodStatus | undefined) {
    this.#view = view;
    this.#uid = uid;
    this.#status = status;
  }

  /** The newest status. */
  get status(): PodStatus | undefined {
    return this.#status;
  }

  /** Whether the newest report says that nothing is left. */
  get removedReported(): boolean {
    return this.#removedReported;
  }

  publish(state: PodState): void {
    const { context } = this.#view;
    const sandbox = context.runtime.sandbox(this.#uid);
    const ready = sandbox?.state === "ready";
    const { removed, ...facts } = state;
    const status = generateStatus({
      ...facts,
      pod: this.#view.pod(),
      runtimeName: context.runtime.name,
      containers: this.#view.runs(),
      sandboxReady: ready && !state.over,
      podIPs: ready ? podIPsOf(sandbox, context) : undefined,
      hostIPs: context,
      now: context.clock.wallMillis(),
      previous: this.#status,
    });
    this.send(status, removed);
  }

  send(status: PodStatus, removed = false): void {
    this.#status = status;
    const text = JSON.stringify([status, removed]);
    if (text === this.#lastReport) return;
    this.#lastReport = text;
    this.#removedReported = removed;
    const { namespace = "", name = "" } = this.#view.pod().metadata ?? {};
    const report: PodStatusReport = { namespace, name, uid: this.#uid, status };
    this.#view.context.report(removed ? { ...report, removed: true } : report);
  }
}
