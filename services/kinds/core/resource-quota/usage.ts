/** What one object uses of the resources that quotas bound (upstream `pkg/quota/v1/evaluator`). */
import type { Container, PersistentVolumeClaim, Pod, Service } from "../../../../proto/gen/core.ts";
import type { ObjectMeta } from "../../../../proto/gen/meta.ts";
import {
  addQuantities,
  compareQuantities,
  parseQuantity,
  type Quantity,
} from "../../machinery/quantity.ts";
import { parseTime } from "../../machinery/time.ts";
import { isSidecar } from "../pod/containers.ts";
import { isFinished } from "../pod/phase.ts";

/** By the names that quotas use. */
export type Usage = Map<string, Quantity>;

/** Names the resource of an object that is counted. */
export interface CountedResource {
  readonly plural: string;
  readonly group: string;
}

/** An object of any kind, as a document or as a message. */
export interface CountedObject {
  readonly metadata?: ObjectMeta | undefined;
}

const one: Quantity = { nanos: 1_000_000_000n, format: "decimal" };

function times(count: number): Quantity {
  return { nanos: BigInt(count) * one.nanos, format: "decimal" };
}

/** The kinds of the core group that quotas count under their plural alone. */
const plainCounts = new Set([
  ...["configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers"],
  ...["resourcequotas", "secrets", "services"],
]);

const evaluators: Readonly<Record<string, (object: CountedObject) => Usage>> = {
  pods: (object) => podUsage(object as Pod),
  services: (object) => serviceUsage(object as Service),
  persistentvolumeclaims: (object) => claimUsage(object as PersistentVolumeClaim),
};

/** A pod that has ended is an object still, and uses nothing else. */
export function usageOf(
  { group, plural }: CountedResource,
  document: CountedObject,
  nowMillis: number,
): Usage {
  if (group !== "") return new Map([[`count/${plural}.${group}`, one]]);
  if (plural === "pods" && isOver(document as Pod, nowMillis))
    return new Map([["count/pods", one]]);
  const usage: Usage = Object.hasOwn(evaluators, plural)
    ? (evaluators[plural]?.(document) ?? new Map())
    : new Map();
  usage.set(`count/${plural}`, one);
  if (plainCounts.has(plural)) usage.set(plural, one);
  return usage;
}

/**
 * From when on a pod that is being deleted is free of charge, in Unix milliseconds: its grace is over
 * twice, so that its node is taken to be lost. Undefined: it is not being deleted.
 */
export function freeOfCharge({ metadata }: Pod): number | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata ?? {};
  if (deletionGracePeriodSeconds === undefined) return undefined;
  const end = parseTime(deletionTimestamp);
  return end === undefined ? undefined : end + deletionGracePeriodSeconds * 1000;
}

function isOver(pod: Pod, nowMillis: number): boolean {
  return isFinished(pod) || nowMillis > (freeOfCharge(pod) ?? Infinity);
}

/** Which resource's objects use a bounded resource, as plural and group. */
export function countedResourceOf(name: string): CountedResource {
  if (name.startsWith("count/")) {
    const [plural = "", ...group] = name.slice("count/".length).split(".");
    return { plural, group: group.join(".") };
  }
  const claims = name === "requests.storage" || name.includes(".storageclass.storage.k8s.io/");
  if (claims) return { plural: "persistentvolumeclaims", group: "" };
  if (name.startsWith("services.")) return { plural: "services", group: "" };
  return { plural: plainCounts.has(name) ? name : "pods", group: "" };
}

export function addUsage(total: Usage, more: Usage): void {
  for (const [name, amount] of more) {
    const known = total.get(name);
    total.set(name, known === undefined ? amount : addQuantities(known, amount));
  }
}

function podUsage(pod: Pod): Usage {
  const usage: Usage = new Map();
  for (const kind of ["requests", "limits"] as const) {
    for (const [name, amount] of podAmounts(pod, kind)) {
      usage.set(`${kind}.${name}`, amount);
      // The older names mean the requests.
      const plain = name === "cpu" || name === "memory" || name === "ephemeral-storage";
      if (kind === "requests" && plain) usage.set(name, amount);
    }
  }
  return usage;
}

/** The containers together or, where that is more, an init container with the sidecars before it. */
export function podAmounts({ spec = {} }: Pod, kind: "requests" | "limits"): Usage {
  const amountsOf = ({ resources }: Container): Usage => amounts(resources?.[kind]);
  const running: Usage = new Map();
  for (const container of spec.containers ?? []) addUsage(running, amountsOf(container));
  const sidecars: Usage = new Map();
  const starting: Usage = new Map();
  for (const container of spec.initContainers ?? []) {
    const own = amountsOf(container);
    const peak = new Map(sidecars);
    addUsage(peak, own);
    raise(starting, peak);
    if (!isSidecar(container)) continue;
    addUsage(sidecars, own);
    addUsage(running, own);
  }
  raise(running, starting);
  for (const [name, amount] of amounts(spec.resources?.[kind])) running.set(name, amount);
  const overhead = [...amounts(spec.overhead)];
  addUsage(running, new Map(overhead.filter(([name]) => kind === "requests" || running.has(name))));
  return running;
}

function amounts(texts: Readonly<Record<string, string>> | undefined): Usage {
  const usage: Usage = new Map();
  for (const [name, text] of Object.entries(texts ?? {})) {
    const quantity = parseQuantity(text);
    if (quantity !== undefined) usage.set(name, quantity);
  }
  return usage;
}

function raise(total: Usage, floor: Usage): void {
  for (const [name, amount] of floor) {
    const known = total.get(name);
    if (known === undefined || compareQuantities(known, amount) < 0) total.set(name, amount);
  }
}

function serviceUsage({ spec = {} }: Service): Usage {
  const { type, ports = [], allocateLoadBalancerNodePorts = true } = spec;
  const balanced = type === "LoadBalancer";
  const nodePorts =
    type === "NodePort" || (balanced && allocateLoadBalancerNodePorts)
      ? ports.length
      : ports.filter(({ nodePort }) => balanced && nodePort).length;
  return new Map([
    ["services.nodeports", times(nodePorts)],
    ["services.loadbalancers", times(balanced ? 1 : 0)],
  ]);
}

function claimUsage({ spec = {} }: PersistentVolumeClaim): Usage {
  const usage: Usage = new Map();
  const requested = parseQuantity(spec.resources?.requests?.["storage"] ?? "0") ?? times(0);
  usage.set("requests.storage", requested);
  if (spec.storageClassName) {
    const prefix = `${spec.storageClassName}.storageclass.storage.k8s.io`;
    usage.set(`${prefix}/requests.storage`, requested);
    usage.set(`${prefix}/persistentvolumeclaims`, one);
  }
  return usage;
}
