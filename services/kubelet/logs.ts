/** The output of a pod's containers. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { LogsRequest, Pod } from "../../proto/gen/core.ts";
import { parseTime } from "../kinds/facts.ts";
import { runsOf } from "./pod/status.ts";
import { badRequest, chooseContainer, type PodSource, podOf } from "./requests.ts";

/** Throws StatusError: notFound, invalidArgument. */
export function openLogs(
  source: PodSource,
  request: LogsRequest,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const { name = "", namespace = "", tailLines, limitBytes } = request;
  checkNumbers(request);
  const sinceMillis = sinceMillisOf(request);
  const pod = podOf(source, namespace, name);
  const container = chooseContainer(pod, request.container);
  const runs = source.runtime.containers(pod.metadata?.uid ?? "");
  const { latest, previous } = runsOf(runs, container);
  const run = request.previous ? previous : latest;
  if (run === undefined) {
    if (request.previous) {
      throw badRequest(`previous terminated container "${container}" in pod "${name}" not found`);
    }
    const why = waitingReason(pod, container);
    throw badRequest(`container "${container}" in pod "${name}" is waiting to start: ${why}`);
  }
  if (run.reason === "StartError") {
    throw new StatusError(Code.notFound, `container "${container}" never ran: ${run.message}`);
  }
  return source.runtime.logs(run.id, {
    follow: request.follow ?? false,
    tailLines,
    limitBytes,
    sinceMillis,
    timestamps: request.timestamps ?? false,
    signal,
  });
}

function checkNumbers({ tailLines, limitBytes, sinceSeconds, sinceTime }: LogsRequest): void {
  const least = { tailLines: 0, limitBytes: 1, sinceSeconds: 1 } as const;
  for (const [field, value] of Object.entries({ tailLines, limitBytes, sinceSeconds })) {
    const low = least[field as keyof typeof least];
    if (value === undefined || value >= low) continue;
    throw badRequest(`${field}: ${value} must not be less than ${low}`);
  }
  if (sinceSeconds !== undefined && sinceTime !== undefined) {
    throw badRequest("at most one of `sinceTime` or `sinceSeconds` may be specified");
  }
}

function sinceMillisOf({ sinceSeconds, sinceTime }: LogsRequest): number | undefined {
  if (sinceSeconds !== undefined) return Date.now() - sinceSeconds * 1000;
  if (sinceTime === undefined) return undefined;
  const millis = parseTime(sinceTime);
  if (millis === undefined) {
    throw badRequest(`sinceTime: ${JSON.stringify(sinceTime)} is no time of RFC 3339`);
  }
  return millis;
}

/** Why a container that never ran waits, as upstream's kubelet words it. */
function waitingReason({ status = {} }: Pod, container: string): string {
  const { containerStatuses, initContainerStatuses, ephemeralContainerStatuses } = status;
  const lists = [containerStatuses, initContainerStatuses, ephemeralContainerStatuses];
  const found = lists.flatMap((list) => list ?? []).find(({ name }) => name === container);
  const reason = found?.state?.waiting?.reason;
  if (reason === "ErrImagePull") return "image can't be pulled";
  if (reason === "ImagePullBackOff") return "trying and failing to pull image";
  return reason ?? "ContainerCreating";
}
