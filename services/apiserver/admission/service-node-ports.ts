import type { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Operation } from "../../../ha/store/types.ts";
import type { ServicePort, ServiceSpec } from "../../../proto/gen/core.ts";
import {
  type Document,
  invalid as invalidCause,
  isReachedFromOutside,
  type Resource,
} from "../../kinds/mod.ts";
import { internal, invalid } from "../errors.ts";
import { keyBytes, serviceNodePortKey } from "../storage/keys.ts";
import type { AdmissionPlugin, AdmissionRequest, Companions } from "./chain.ts";
import type { PortRange } from "./port-range.ts";

const name = "service-node-ports";
const taken = "provided port is already allocated";

export interface NodePortOptions {
  readonly range: PortRange;
  /** Uniform integer in 0..limit-1. */
  readonly random: (limit: number) => number;
  /** The ports that have a key in the store, as far as this master knows. */
  readonly inUse: () => Promise<ReadonlySet<number>>;
}

/**
 * Gives services their node ports, and keeps every port to one service: each has a key of its own
 * that only one service's transaction can create (upstream's port allocator, which does not tell
 * protocols apart either; one service may have a port for several of them).
 */
export function serviceNodePorts(options: NodePortOptions): AdmissionPlugin {
  return {
    name,
    resources: ["services"],
    async mutate({ operation, resource, name: service, document, stored, notes, subresource }) {
      if (operation === "delete" || document === undefined || subresource !== "") return;
      forget(document, chosenBefore(notes));
      dropUnused(document, stored);
      keepStored(document, stored);
      const held = heldPorts(stored);
      const { range } = options;
      const outside = (port: number) =>
        !held.has(port) && (port < range.first || port > range.last);
      const why = `provided port is not in the valid range. The range of valid ports is ${range.text}`;
      const refused = refusal(resource, service, document, outside, why);
      if (refused !== undefined) throw refused;
      notes.set(name, await assign(options, document));
    },
    companions: allocations,
  };
}

function specOf(document: Document | undefined): ServiceSpec {
  return (document?.["spec"] ?? {}) as ServiceSpec;
}

function isExposed({ type }: ServiceSpec): boolean {
  return type === "NodePort" || type === "LoadBalancer";
}

function needsPorts(spec: ServiceSpec): boolean {
  if (spec.type === "NodePort") return true;
  return spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false;
}

function needsHealthCheckPort({ type, externalTrafficPolicy }: ServiceSpec): boolean {
  return type === "LoadBalancer" && externalTrafficPolicy === "Local";
}

/** The node ports that a service holds. */
function heldPorts(document: Document | undefined): Set<number> {
  const spec = specOf(document);
  if (!isExposed(spec)) return new Set();
  const ports = [...(spec.ports ?? []).map(({ nodePort }) => nodePort), spec.healthCheckNodePort];
  return new Set(ports.filter((port): port is number => port !== undefined && port !== 0));
}

const portKey = ({ protocol = "TCP", port }: ServicePort) => `${protocol}/${port}`;

/**
 * A service that is no longer exposed gives its ports and its policy for outside traffic back, if
 * the update carries them along unchanged; others are the caller's mistake, which validation tells (upstream
 * `dropTypeDependentFields`).
 */
function dropUnused(next: Document, stored: Document | undefined): void {
  const [spec, before] = [specOf(next), specOf(stored)];
  if (isExposed(before) && !isExposed(spec)) {
    const held = heldPorts(stored);
    for (const port of spec.ports ?? []) {
      if (port.nodePort && held.has(port.nodePort)) delete port.nodePort;
    }
  }
  if (before.type === "LoadBalancer" && spec.type !== "LoadBalancer") {
    for (const name of ["allocateLoadBalancerNodePorts", "loadBalancerClass"] as const) {
      if (spec[name] === before[name]) delete spec[name];
    }
  }
  const policy = spec.externalTrafficPolicy;
  if (isReachedFromOutside(before) && !isReachedFromOutside(spec)) {
    if (policy === before.externalTrafficPolicy) delete spec.externalTrafficPolicy;
  }
  const unchanged = spec.healthCheckNodePort === before.healthCheckNodePort;
  if (needsHealthCheckPort(before) && !needsHealthCheckPort(spec) && unchanged) {
    delete spec.healthCheckNodePort;
  }
}

/** An update that is silent keeps what was given (upstream `patchAllocatedValues`). */
function keepStored(next: Document, stored: Document | undefined): void {
  const [spec, before] = [specOf(next), specOf(stored)];
  if (needsPorts(spec) && needsPorts(before)) {
    const known = new Map((before.ports ?? []).map((port) => [portKey(port), port.nodePort]));
    for (const port of spec.ports ?? []) {
      const kept = known.get(portKey(port));
      if (!port.nodePort && kept) port.nodePort = kept;
    }
  }
  if (needsHealthCheckPort(spec) && needsHealthCheckPort(before)) {
    spec.healthCheckNodePort ||= before.healthCheckNodePort;
  }
}

/** Gives a port to whatever needs one and has none; answers the ports that were chosen here. */
async function assign(options: NodePortOptions, document: Document): Promise<Set<number>> {
  const spec = specOf(document);
  const chosen = new Set<number>();
  const wanting = needsPorts(spec) ? (spec.ports ?? []).filter((port) => !port.nodePort) : [];
  const wantsHealthCheck = needsHealthCheckPort(spec) && !spec.healthCheckNodePort;
  if (wanting.length === 0 && !wantsHealthCheck) return chosen;
  const used = new Set([...(await options.inUse()), ...heldPorts(document)]);
  const next = () => {
    const port = pick(options, used);
    used.add(port);
    chosen.add(port);
    return port;
  };
  // The same port for TCP and UDP gets the same node port (upstream does so too).
  for (const port of wanting) {
    const sibling = spec.ports?.find((other) => other.port === port.port && other.nodePort);
    port.nodePort = sibling?.nodePort ?? next();
  }
  if (wantsHealthCheck) spec.healthCheckNodePort = next();
  return chosen;
}

/** Throws when every port of the range is in use. */
function pick({ range, random }: NodePortOptions, used: ReadonlySet<number>): number {
  const size = range.last - range.first + 1;
  const start = random(size);
  for (let step = 0; step < size; step++) {
    const port = range.first + ((start + step) % size);
    if (!used.has(port)) return port;
  }
  throw internal("failed to allocate a nodePort: range is full");
}

function chosenBefore(notes: AdmissionRequest["notes"]): ReadonlySet<number> {
  return (notes.get(name) as ReadonlySet<number> | undefined) ?? new Set();
}

/** An attempt that lost its compare chooses anew. */
function forget(document: Document, chosen: ReadonlySet<number>): void {
  const spec = specOf(document);
  for (const port of spec.ports ?? []) {
    if (port.nodePort && chosen.has(port.nodePort)) delete port.nodePort;
  }
  if (spec.healthCheckNodePort && chosen.has(spec.healthCheckNodePort)) {
    delete spec.healthCheckNodePort;
  }
}

/** Upstream stops at the first port; a port for health checks is no fault of the object to it. */
function refusal(
  resource: Resource,
  service: string,
  document: Document,
  isWrong: (port: number) => boolean,
  why: string,
): StatusError | undefined {
  const spec = specOf(document);
  if (!isExposed(spec)) return undefined;
  for (const [index, { nodePort }] of (spec.ports ?? []).entries()) {
    if (!nodePort || !isWrong(nodePort)) continue;
    const cause = invalidCause(`spec.ports[${index}].nodePort`, nodePort, why);
    return invalid(resource, service, [cause]);
  }
  const check = spec.healthCheckNodePort;
  if (!check || !needsHealthCheckPort(spec) || !isWrong(check)) return undefined;
  return internal(`failed to allocate requested HealthCheck NodePort ${check}: ${why}`);
}

function allocations(request: AdmissionRequest): Companions | undefined {
  const { document, stored, resource, notes } = request;
  const before = heldPorts(stored);
  const after = heldPorts(document);
  const wanted = [...after].filter((port) => !before.has(port));
  const freed = [...before].filter((port) => !after.has(port));
  if (wanted.length === 0 && freed.length === 0) return undefined;
  const owner = Buffer.from(`${document?.metadata?.namespace}/${document?.metadata?.name}`);
  const keys = wanted.map(serviceNodePortKey);
  return {
    compares: keys.map((key) => ({
      key: keyBytes(key),
      target: "version",
      operator: "=",
      operand: 0,
    })),
    operations: [
      ...keys.map((key): Operation => ({ op: "put", key: keyBytes(key), value: owner })),
      ...freed.map((port): Operation => {
        return { op: "delete", key: keyBytes(serviceNodePortKey(port)) };
      }),
    ],
    reads: keys,
    explain(found) {
      const chosen = chosenBefore(notes);
      const lost = (port: number) =>
        after.has(port) &&
        !chosen.has(port) &&
        !before.has(port) &&
        found.get(serviceNodePortKey(port)) !== undefined;
      return document && refusal(resource, request.name, document, lost, taken);
    },
  };
}
