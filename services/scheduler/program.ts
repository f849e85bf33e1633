import { productionClock } from "../../ha/runtime/production/clock.ts";
import { program as define } from "../../ha/runtime/production/process.ts";
import {
  clientFlags,
  connectByFlags,
  createEventRecorder,
  electionByFlags,
  electionFlags,
  InformerFactory,
  runElected,
} from "../client/mod.ts";
import { defaultPlugins } from "./plugins/mod.ts";
import { Scheduler } from "./scheduler.ts";

export const program = define({
  name: "scheduler",
  summary: "assigns pods to nodes",
  flags: {
    ...clientFlags,
    ...electionFlags,
    "leader-elect-resource-name": {
      type: "string",
      default: "kube-scheduler",
      help: "name of the Lease",
    },
    "scheduler-name": {
      type: "string",
      default: "default-scheduler",
      help: "schedule the pods whose spec.schedulerName is this",
    },
  },
  async start(values, log) {
    const client = await connectByFlags(values, "kube-scheduler", log);
    const election = electionByFlags(values, values["leader-elect-resource-name"]);
    const clock = productionClock;
    const stopping = new AbortController();
    const informing = new AbortController();
    const informers = new InformerFactory({ client, log, clock });
    const recorder = createEventRecorder({
      events: client.events,
      component: values["scheduler-name"],
      clock,
      log,
    });
    const scheduler = new Scheduler({
      client,
      informers,
      recorder,
      plugins: defaultPlugins,
      schedulerName: values["scheduler-name"],
      clock,
      log,
    });
    informers.start(informing.signal);
    const lead = scheduler.lead.bind(scheduler);
    const running = election.enabled
      ? runElected(
          {
            ...election,
            leases: client.leases,
            log,
            lead,
            observed: (holder) => log.info("another leads", { holder }),
          },
          stopping.signal,
          clock,
        )
      : lead(undefined, stopping.signal);
    // A failure ends the process: the supervisor starts it anew, and a standby leads meanwhile.
    running.catch((error: unknown) => {
      if (!stopping.signal.aborted)
        queueMicrotask(() => {
          throw error;
        });
    });
    return {
      async stop() {
        stopping.abort();
        await Promise.allSettled([running]);
        await recorder.flush();
        informing.abort();
        await informers.ended();
        scheduler.close();
        client.close();
      },
    };
  },
});
