/** Scheduler and controller-manager, two replicas each, elected as in production. */
import type { Log } from "../../../ha/runtime/types.ts";
import { runElected } from "../../../services/client/elected.ts";
import {
  createClient,
  createEventRecorder,
  type ElectedContext,
  type ElectedWork,
  InformerFactory,
  type TriremeClient,
  watchEventLoop,
} from "../../../services/client/mod.ts";
import { deploymentController } from "../../../services/controllers/deployment/controller.ts";
import { ControllerManager } from "../../../services/controllers/manager.ts";
import { replicaSetController } from "../../../services/controllers/replica-set.ts";
import { defaultPlugins, Scheduler } from "../../../services/scheduler/mod.ts";
import { preemption } from "../../../services/scheduler/preemption/plugin.ts";
import type { Evidence } from "./evidence.ts";
import type { SimulatedProcess } from "./process.ts";

const election = { leaseMillis: 3_000, renewDeadlineMillis: 2_000, retryMillis: 400 } as const;

export interface Component {
  /** User name, and name of the Lease without `system:`. */
  readonly user: string;
  readonly make: (context: ElectedContext, random: () => number) => ElectedWork;
}

export const scheduler: Component = {
  user: "system:kube-scheduler",
  make(context, random) {
    const { client, clock, log } = context;
    const component = "default-scheduler";
    const recorder = createEventRecorder({ events: client.events, component, clock, log });
    const made = new Scheduler({
      ...context,
      recorder,
      plugins: [...defaultPlugins, preemption({ client, recorder, clock, log, random })],
      // So that a cluster of few pods binds several at once, too.
      bindings: { callsMax: 1, batchMax: 3 },
      schedulerName: component,
      random,
    });
    return {
      lead: made.lead.bind(made),
      flush: () => recorder.flush(),
      close: () => made.close(),
    };
  },
};

const controllers = [replicaSetController(3), deploymentController(3)];

export const controllerManager: Component = {
  user: "system:kube-controller-manager",
  make: (context) => new ControllerManager({ ...context, controllers }),
};

export interface Started {
  readonly process: SimulatedProcess;
  readonly component: Component;
  readonly informers: InformerFactory;
  leading: boolean;
}

/** Runs like `runElectedProgram`. `ended` is called when the process ends by itself. */
export function startComponent(
  component: Component,
  process: SimulatedProcess,
  transport: Parameters<typeof createClient>[0],
  options: {
    readonly log: Log;
    readonly random: () => number;
    readonly evidence: Evidence;
    readonly ended: (error: unknown) => void;
  },
): Started {
  const { evidence, log, random, ended } = options;
  const { clock } = process;
  const client: TriremeClient = createClient(transport);
  const informers = new InformerFactory({ client, log, clock });
  const work = component.make({ client, informers, clock, log }, random);
  const started: Started = { process, component, informers, leading: false };
  const limitMillis = election.renewDeadlineMillis;
  const running = runElected(
    {
      ...election,
      namespace: "kube-system",
      name: component.user.replace("system:", ""),
      identity: process.name,
      leases: client.leases,
      informers: {
        start: (signal) => informers.start(AbortSignal.any([signal, process.over])),
        ended: () => informers.ended(),
      },
      log,
      random,
      async lead(fence, signal) {
        started.leading = true;
        evidence.leaderships++;
        try {
          const guard = { clock, log, limitMillis };
          await watchEventLoop(guard, signal, (guarded) => work.lead(fence, guarded));
        } finally {
          started.leading = false;
        }
      },
    },
    process.over,
    clock,
  );
  running.then(() => ended(undefined), ended);
  return started;
}
