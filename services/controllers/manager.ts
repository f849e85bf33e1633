import type { FencingToken } from "../../ha/election/mod.ts";
import type { Log } from "../../ha/runtime/types.ts";
import {
  createEventRecorder,
  createWorkQueue,
  type EventRecorder,
  type InformerFactory,
  type LoopClock,
  runReconciler,
  type TriremeClient,
} from "../client/mod.ts";
import type { Controller, ControllerContext } from "./types.ts";

export interface ManagerOptions {
  readonly client: TriremeClient;
  readonly informers: InformerFactory;
  readonly controllers: readonly Controller[];
  readonly clock: LoopClock;
  readonly log: Log;
}

/** Runs the controllers under one leadership. */
export class ControllerManager {
  readonly #options: ManagerOptions;
  readonly #recorders = new Map<string, EventRecorder>();

  constructor(options: ManagerOptions) {
    this.#options = options;
    for (const { informers } of options.controllers) {
      for (const kind of informers) options.informers.informer(kind);
    }
  }

  /** Runs every controller until the signal aborts; resolves when the last key is done. */
  async lead(fence: FencingToken | undefined, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.informers.whenSynced(signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    await Promise.all(this.#options.controllers.map((each) => this.#run(each, fence, signal)));
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#recorders.values()].map((recorder) => recorder.flush()));
  }

  async #run(
    controller: Controller,
    fence: FencingToken | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, informers } = this.#options;
    const log = this.#options.log.child({ controller: controller.name });
    const queue = createWorkQueue({ clock, name: controller.name });
    const offs: (() => void)[] = [];
    const context: ControllerContext = {
      client,
      queue,
      recorder: this.#recorder(controller),
      clock,
      log,
      signal,
      write: { fence, signal },
      informer: (kind) => informers.informer(kind),
      dynamic: (served) => informers.dynamic(served),
      dropDynamic: (served) => informers.dropDynamic(served),
      on(kind, handlers) {
        offs.push(informers.informer(kind).addHandlers(handlers));
      },
    };
    try {
      const reconcile = controller.start(context);
      await runReconciler({ queue, reconcile, workers: controller.workers, log }, signal);
    } finally {
      for (const off of offs) off();
    }
  }

  #recorder({ name, component = `${name}-controller` }: Controller): EventRecorder {
    const { client, clock, log } = this.#options;
    let recorder = this.#recorders.get(name);
    if (!recorder) {
      recorder = createEventRecorder({ events: client.events, component, clock, log });
      this.#recorders.set(name, recorder);
    }
    return recorder;
  }
}
