/** The output of a pod's containers. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { LogsRequest } from "../../proto/gen/core.ts";
import { runsOf } from "./pod/status.ts";
import { chooseContainer, type PodSource, podOf } from "./requests.ts";

/** Throws StatusError: notFound, invalidArgument, unimplemented. */
export function openLogs(
  source: PodSource,
  request: LogsRequest,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const { name = "", namespace = "", tailLines, limitBytes } = request;
  if (request.timestamps || (request.sinceSeconds ?? 0) > 0) {
    throw new StatusError(
      Code.unimplemented,
      "timestamps and sinceSeconds: the process runtime keeps output as written, without times; " +
        "use tailLines or limitBytes",
    );
  }
  for (const [field, value] of Object.entries({ tailLines, limitBytes })) {
    if (value !== undefined && value < 0) {
      throw new StatusError(Code.invalidArgument, `${field}: ${value} must not be negative`);
    }
  }
  const pod = podOf(source, namespace, name);
  const container = chooseContainer(pod, request.container);
  const runs = source.runtime.containers(pod.metadata?.uid ?? "");
  const { latest, previous } = runsOf(runs, container);
  const run = request.previous ? previous : latest;
  if (run === undefined) {
    const which = request.previous ? "previous terminated container" : "container";
    const state = request.previous ? "not found" : "is waiting to start";
    throw new StatusError(
      Code.invalidArgument,
      `${which} "${container}" in pod "${name}" ${state}`,
    );
  }
  if (run.reason === "StartError") {
    throw new StatusError(Code.notFound, `container "${container}" never ran: ${run.message}`);
  }
  return source.runtime.logs(run.id, {
    follow: request.follow ?? false,
    tailLines,
    limitBytes,
    signal,
  });
}
