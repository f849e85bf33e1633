/**
 * Which endpoints of a service take connections: pure functions of its EndpointSlices, with the
 * rules of upstream's `pkg/proxy/topology.go`.
 *
 * Ready endpoints do. When there is none, those do that terminate but still serve. Hints narrow
 * the ready ones to a node or a zone, if every ready endpoint has hints and one is for this place.
 */
import type { ServicePort } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import { type Family, isOf } from "./family.ts";

export interface Target {
  readonly ip: string;
  readonly port: number;
  /** The node it is on, if that is known. */
  readonly node?: string | undefined;
}

export interface ServiceEndpoint extends Target {
  readonly ready: boolean;
  /** Terminates, but serves as long as there is no ready one. */
  readonly lastResort: boolean;
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

/** Where connections come from. */
export interface Place {
  /** Undefined: several nodes share the place, and none is preferred. */
  readonly node: string | undefined;
  readonly zone: string | undefined;
}

export function targetKey(target: Target): string {
  return target.ip.includes(":") ? `[${target.ip}]:${target.port}` : `${target.ip}:${target.port}`;
}

/** The endpoints of a family behind the port of the service, in order, each address once. */
export function endpointsOf(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  family: Family,
): readonly ServiceEndpoint[] {
  const found = new Map<string, ServiceEndpoint>();
  for (const { addressType, endpoints = [], ports = [] } of slices) {
    if (addressType !== family) continue;
    const match = ports.find(
      (one) =>
        (one.name ?? "") === (port.name ?? "") &&
        (one.protocol ?? "TCP") === (port.protocol ?? "TCP"),
    );
    if (match?.port === undefined) continue;
    for (const { addresses = [], conditions = {}, nodeName, hints } of endpoints) {
      // One endpoint's further addresses are the same backend again.
      const [ip = ""] = addresses;
      if (!isOf(family, ip)) continue;
      const { ready = true, terminating = false } = conditions;
      const serving = conditions.serving ?? ready;
      const endpoint: ServiceEndpoint = {
        ip,
        port: match.port,
        node: nodeName,
        ready,
        lastResort: !ready && serving && terminating,
        zones: namesOf(hints?.forZones),
        nodes: namesOf(hints?.forNodes),
      };
      const key = targetKey(endpoint);
      if (!found.get(key)?.ready) found.set(key, endpoint);
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

function namesOf(list: readonly { name?: string | undefined }[] | undefined): readonly string[] {
  return (list ?? []).flatMap(({ name = "" }) => (name === "" ? [] : [name]));
}

/** For a traffic policy `Cluster`. */
export function clusterTargets(
  endpoints: readonly ServiceEndpoint[],
  place: Place,
): readonly Target[] {
  const ready = endpoints.filter((one) => one.ready);
  if (ready.length === 0) return plain(endpoints.filter((one) => one.lastResort));
  return plain(
    hinted(ready, (one) => one.nodes, place.node) ??
      hinted(ready, (one) => one.zones, place.zone) ??
      ready,
  );
}

/** Undefined: the hints do not apply. */
function hinted(
  ready: readonly ServiceEndpoint[],
  hintsOf: (endpoint: ServiceEndpoint) => readonly string[],
  here: string | undefined,
): readonly ServiceEndpoint[] | undefined {
  if (here === undefined || ready.some((one) => hintsOf(one).length === 0)) return undefined;
  const chosen = ready.filter((one) => hintsOf(one).includes(here));
  return chosen.length === 0 ? undefined : chosen;
}

/** For a traffic policy `Local`: of these nodes together. */
export function localTargets(
  endpoints: readonly ServiceEndpoint[],
  nodes: ReadonlySet<string>,
): readonly Target[] {
  const here = endpoints.filter(({ node }) => node !== undefined && nodes.has(node));
  const ready = here.filter((one) => one.ready);
  return plain(ready.length > 0 ? ready : here.filter((one) => one.lastResort));
}

/** For a traffic policy `Local` where each client has a node of its own among these. */
export function localTargetsOfEach(
  endpoints: readonly ServiceEndpoint[],
  nodes: ReadonlySet<string>,
): readonly Target[] {
  const without = new Set(nodes);
  for (const { node, ready } of endpoints) if (ready && node !== undefined) without.delete(node);
  const isUsed = ({ node, ready, lastResort }: ServiceEndpoint) =>
    node !== undefined && nodes.has(node) && (ready || (lastResort && without.has(node)));
  return plain(endpoints.filter(isUsed));
}

function plain(endpoints: readonly ServiceEndpoint[]): readonly Target[] {
  return endpoints.map(({ ip, port, node }) => ({ ip, port, node }));
}
