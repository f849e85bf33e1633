import type {
  Container,
  LimitRange,
  LimitRangeItem,
  PersistentVolumeClaim,
  Pod,
} from "../../../proto/gen/core.ts";
import {
  compareQuantities,
  formatQuantity,
  parseQuantity,
  podAmounts,
  type Quantity,
} from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./chain.ts";

/** The limit ranges of a namespace, as the watch cache has them. */
export type LimitRanges = (namespace: string) => Iterable<LimitRange>;

type Amounts = Readonly<Record<string, string>>;

/** What is held to the bounds: one container, a pod as a whole, or a claim. */
interface Subject {
  readonly requests: ReadonlyMap<string, Quantity>;
  readonly limits: ReadonlyMap<string, Quantity>;
}

const annotation = "kubernetes.io/limit-ranger";

/** New pods and claims get the defaults of their namespace, and keep its bounds (upstream's
 * LimitRanger). */
export function limitRanger(rangesOf: LimitRanges): AdmissionPlugin {
  const itemsOf = (namespace: string) =>
    [...rangesOf(namespace)].flatMap(({ spec }) => spec?.limits ?? []);
  return {
    name: "limit-ranger",
    resources: ["pods", "persistentvolumeclaims"],
    operations: ["create", "update"],
    mutate({ operation, resource, namespace, document }) {
      if (operation !== "create" || resource.plural !== "pods" || document === undefined) return;
      const items = itemsOf(namespace).filter(({ type }) => type === "Container");
      for (const item of items) setDefaults(document as Pod, item);
    },
    validate(request) {
      const { resource, namespace, name, document } = request;
      if (document === undefined || !isBounded(request)) return;
      const isPod = resource.plural === "pods";
      const faults = itemsOf(namespace).flatMap((item) =>
        isPod
          ? podFaults(document as Pod, item)
          : claimFaults(document as PersistentVolumeClaim, item),
      );
      const [first, ...more] = [...new Set(faults)];
      if (first === undefined) return;
      const why = more.length === 0 ? first : `[${[first, ...more].join(", ")}]`;
      throw forbidden(resource, name, why);
    },
  };
}

/** A pod changes what it asks for by its resize alone; what is on its way out is let go. */
function isBounded({ operation, resource, subresource, stored }: AdmissionRequest): boolean {
  if (operation === "create") return subresource === "";
  if (stored?.metadata?.deletionTimestamp !== undefined) return false;
  return subresource === (resource.plural === "pods" ? "resize" : "");
}

function setDefaults(pod: Pod, item: LimitRangeItem): void {
  const notes: string[] = [];
  const set = (container: Container, noun: string): void => {
    const { resources = {}, name = "" } = container;
    for (const [kind, word, amounts] of [
      ["requests", "request", item.defaultRequest ?? {}],
      ["limits", "limit", item.default ?? {}],
    ] as const) {
      const given = resources[kind] ?? {};
      const added = Object.keys(amounts).filter((each) => given[each] === undefined);
      if (added.length === 0) continue;
      resources[kind] = { ...amounts, ...given };
      container.resources = resources;
      notes.push(`${added.sort().join(", ")} ${word} for ${noun} ${name}`);
    }
  };
  for (const container of pod.spec?.containers ?? []) set(container, "container");
  for (const container of pod.spec?.initContainers ?? []) set(container, "init container");
  if (notes.length === 0) return;
  const annotations = {
    ...pod.metadata?.annotations,
    [annotation]: `LimitRanger plugin set: ${notes.join("; ")}`,
  };
  pod.metadata = { ...pod.metadata, annotations };
}

function podFaults(pod: Pod, item: LimitRangeItem): string[] {
  if (item.type === "Pod") {
    const total = { requests: podAmounts(pod, "requests"), limits: podAmounts(pod, "limits") };
    return faultsOf(total, item);
  }
  if (item.type !== "Container") return [];
  const { containers = [], initContainers = [] } = pod.spec ?? {};
  return [...containers, ...initContainers].flatMap(({ resources }) =>
    faultsOf({ requests: read(resources?.requests), limits: read(resources?.limits) }, item),
  );
}

function read(amounts: Amounts | undefined): Map<string, Quantity> {
  const all = new Map<string, Quantity>();
  for (const [name, text] of Object.entries(amounts ?? {})) {
    const quantity = parseQuantity(text);
    if (quantity !== undefined) all.set(name, quantity);
  }
  return all;
}

function faultsOf({ requests, limits }: Subject, item: LimitRangeItem): string[] {
  const type = item.type ?? "";
  const faults: string[] = [];
  for (const [name, bound] of read(item.min)) {
    const rule = `minimum ${name} usage per ${type} is ${formatQuantity(bound)}`;
    const [request, limit] = [requests.get(name), limits.get(name)];
    if (request === undefined) faults.push(`${rule}.  No request is specified`);
    else if (compareQuantities(request, bound) < 0) {
      faults.push(`${rule}, but request is ${formatQuantity(request)}`);
    } else if (limit !== undefined && compareQuantities(limit, bound) < 0) {
      faults.push(`${rule}, but limit is ${formatQuantity(limit)}`);
    }
  }
  for (const [name, bound] of read(item.max)) {
    const rule = `maximum ${name} usage per ${type} is ${formatQuantity(bound)}`;
    const [request, limit] = [requests.get(name), limits.get(name)];
    if (limit === undefined) faults.push(`${rule}.  No limit is specified`);
    else if (compareQuantities(limit, bound) > 0) {
      faults.push(`${rule}, but limit is ${formatQuantity(limit)}`);
    } else if (request !== undefined && compareQuantities(request, bound) > 0) {
      faults.push(`${rule}, but request is ${formatQuantity(request)}`);
    }
  }
  for (const [name, bound] of read(item.maxLimitRequestRatio)) {
    const rule = `${name} max limit to request ratio per ${type} is ${formatQuantity(bound)}`;
    const [request, limit] = [requests.get(name), limits.get(name)];
    if (request === undefined || request.nanos === 0n) {
      faults.push(`${rule}, but no request is specified or request is 0`);
    } else if (limit === undefined || limit.nanos === 0n) {
      faults.push(`${rule}, but no limit is specified or limit is 0`);
    } else if (limit.nanos * 1_000_000_000n > bound.nanos * request.nanos) {
      const ratio = Number(limit.nanos) / Number(request.nanos);
      faults.push(`${rule}, but provided ratio is ${ratio.toFixed(6)}`);
    }
  }
  return faults;
}

/** A claim has requests alone, which both bounds are about. */
function claimFaults(claim: PersistentVolumeClaim, item: LimitRangeItem): string[] {
  if (item.type !== "PersistentVolumeClaim") return [];
  const requests = read(claim.spec?.resources?.requests);
  const faults: string[] = [];
  for (const [word, amounts, sign] of [
    ["minimum", item.min, -1],
    ["maximum", item.max, 1],
  ] as const) {
    for (const [name, bound] of read(amounts)) {
      const rule = `${word} ${name} usage per ${item.type} is ${formatQuantity(bound)}`;
      const request = requests.get(name);
      if (request === undefined) faults.push(`${rule}.  No request is specified`);
      else if (compareQuantities(request, bound) * sign > 0) {
        faults.push(`${rule}, but request is ${formatQuantity(request)}`);
      }
    }
  }
  return faults;
}
