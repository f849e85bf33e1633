/** Observations from the API: Events, Leases, conditions of nodes, containers that ended. */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Lease } from "../../../proto/gen/coordination.ts";
import type { Event, Node, Pod } from "../../../proto/gen/core.ts";
import type { TriremeClient } from "../../client/mod.ts";
import type { Gap, Observation, Seen } from "./observations.ts";

const askMillis = 5_000;

export async function readObjects(client: TriremeClient): Promise<Seen> {
  const gaps: Gap[] = [];
  const options = { timeoutMillis: askMillis };
  const ask = async <T>(
    source: string,
    list: () => Promise<{ readonly items: readonly T[] }>,
    of: (object: T) => Observation[],
  ): Promise<Observation[]> => {
    try {
      return (await list()).items.flatMap(of);
    } catch (thrown) {
      gaps.push({ source, why: StatusError.from(thrown).message });
      return [];
    }
  };
  const all = await Promise.all([
    ask("events", () => client.events.list(options), ofEvent),
    ask("leases", () => client.leases.list(options), ofLease),
    ask("nodes", () => client.nodes.list(options), ofNode),
    ask("pods", () => client.pods.list(options), ofPod),
  ]);
  return { observations: all.flat(), gaps };
}

export function ofEvent(event: Event): Observation[] {
  const { lastTimestamp, eventTime, firstTimestamp, series, involvedObject = {} } = event;
  const at = Date.parse(
    series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? firstTimestamp ?? "",
  );
  if (!Number.isFinite(at)) return [];
  const { kind = "", namespace = "", name = "" } = involvedObject;
  const about = `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`;
  const count = (event.count ?? 1) > 1 ? ` (${event.count} times)` : "";
  const text = `${about}: ${event.reason ?? ""}: ${event.message ?? ""}${count}`;
  return [{ at, source: "events", kind: "event", text }];
}

/** The Leases of nodes are taken by their kubelets alone: their conditions say more. */
const nodeLeases = "kube-node-lease";

export function ofLease({ metadata = {}, spec = {} }: Lease): Observation[] {
  const at = Date.parse(spec.acquireTime ?? "");
  const { namespace = "", name = "" } = metadata;
  const { holderIdentity: holder = "", leaseTransitions: transitions = 0 } = spec;
  if (!Number.isFinite(at) || namespace === nodeLeases || holder === "") return [];
  const which = transitions === 0 ? "its first holder" : `change ${transitions} of its holder`;
  const text = `the Lease ${namespace}/${name} was taken by ${holder}, ${which}`;
  return [{ at, source: "leases", kind: "lease", text }];
}

export function ofNode({ metadata = {}, status = {} }: Node): Observation[] {
  return (status.conditions ?? []).flatMap((condition) => {
    const { type = "", status: value = "", reason = "", lastTransitionTime } = condition;
    const at = Date.parse(lastTransitionTime ?? "");
    if (!Number.isFinite(at)) return [];
    const text = `node ${metadata.name} is ${type}=${value}${reason === "" ? "" : ` (${reason})`}`;
    return [{ at, source: "nodes", kind: "node" as const, text }];
  });
}

export function ofPod({ metadata = {}, spec = {}, status = {} }: Pod): Observation[] {
  const pod = `pod ${metadata.namespace}/${metadata.name}`;
  const found: Observation[] = [];
  const say = (time: string | undefined, text: string) => {
    const at = Date.parse(time ?? "");
    if (Number.isFinite(at)) found.push({ at, source: "pods", kind: "pod", text });
  };
  const where = spec.nodeName === undefined ? "" : ` on ${spec.nodeName}`;
  for (const container of status.containerStatuses ?? []) {
    const { name, restartCount = 0, lastState } = container;
    const { finishedAt, exitCode, reason = "" } = lastState?.terminated ?? {};
    const why = `${reason === "" ? "" : `${reason}, `}code ${exitCode}`;
    const text = `${pod}${where}: ${name} ended (${why}) and was restarted, ${restartCount} in all`;
    say(finishedAt, text);
  }
  for (const {
    type,
    status: value,
    reason = "",
    message = "",
    lastTransitionTime,
  } of status.conditions ?? []) {
    if (type !== "DisruptionTarget" || value !== "True") continue;
    say(lastTransitionTime, `${pod}${where} is evicted (${reason}): ${message}`);
  }
  return found;
}
