import { readFileSync } from "node:fs";
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { metricsFlags } from "../../ha/runtime/production/metrics-server.ts";
import { program as define } from "../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import {
  anyClientFlags,
  createEventRecorder,
  electionFlags,
  runElectedProgram,
} from "../client/mod.ts";
import { type Configuration, parseConfiguration } from "./configuration.ts";
import type { Plugin } from "./framework/mod.ts";
import { interferenceEvents } from "./plugins/interference.ts";
import { defaultPlugins } from "./plugins/mod.ts";
import { preemption } from "./preemption/plugin.ts";
import { Scheduler } from "./scheduler.ts";
import { volumeBinder } from "./volume-binder.ts";

export const program = define({
  name: "scheduler",
  summary: "assigns pods to nodes",
  flags: {
    ...anyClientFlags,
    ...electionFlags,
    ...metricsFlags,
    "leader-elect-resource-name": {
      type: "string",
      default: "kube-scheduler",
      help: "name of the Lease",
    },
    config: {
      type: "string",
      default: "",
      help: "a KubeSchedulerConfiguration file: profiles, weights, backoff",
    },
    "scheduler-name": {
      type: "string",
      default: "default-scheduler",
      help: "schedule the pods whose spec.schedulerName is this",
    },
  },
  async start(values, log, tracing) {
    const component = values["scheduler-name"];
    return runElectedProgram({
      tracer: tracing?.tracer,
      values,
      identity: "kube-scheduler",
      program: "scheduler",
      log,
      make(context) {
        const { client, clock } = context;
        const recorder = createEventRecorder({ events: client.events, component, clock, log });
        const plugins = [
          ...defaultPlugins,
          volumeBinder(context),
          interferenceEvents(recorder),
          preemption({ client, recorder, clock, log }),
        ];
        const configuration = values.config ? readConfiguration(values.config, plugins) : undefined;
        const schedulerName = component;
        const scheduler = new Scheduler({
          ...context,
          recorder,
          plugins,
          schedulerName,
          configuration,
        });
        processMetrics.collect(
          "gauge",
          "scheduler_pending_pods",
          "Number of pending pods, by the queue type.",
          () => scheduler.pending(),
        );
        return {
          lead: scheduler.lead.bind(scheduler),
          flush: () => recorder.flush(),
          close: () => scheduler.close(),
        };
      },
    });
  },
});

/** Throws a StatusError that names the file and the field. */
function readConfiguration(file: string, plugins: readonly Plugin[]): Configuration {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const message = `--config ${file}: ${(error as Error).message}`;
    throw new StatusError(Code.invalidArgument, message);
  }
  try {
    return parseConfiguration(text, plugins);
  } catch (error) {
    const { message } = StatusError.from(error);
    throw new StatusError(Code.invalidArgument, `--config ${file}: ${message}`);
  }
}
