import type { Container, Pod, ResourceQuota } from "../../../proto/gen/core.ts";
import {
  addQuantities,
  compareQuantities,
  type Document,
  formatQuantity,
  isCounted,
  type ObjectsOf,
  parseQuantity,
  type Quantity,
  quotaUsage,
  type Registry,
  type Resource,
  subtractQuantities,
  totalUsage,
  type Usage,
  usageOf,
} from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import { keyBytes } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { encodeStored } from "../storage/stored-text.ts";
import type { AdmissionPlugin, AdmissionRequest, Companions } from "./chain.ts";

/** What the plugin reads. */
export interface QuotaSources {
  readonly registry: Registry;
  /** Objects of one namespace as the watch cache has them. */
  list(resource: Resource, namespace: string): Iterable<StoredObject>;
  /** An object as the store has it now. */
  fetch(resource: Resource, key: string): Promise<StoredObject | undefined>;
  /** Until the watch cache knows everything up to a revision. */
  waitFor(revision: number): Promise<void>;
  /** Unix milliseconds. */
  now(): number;
}

const name = "resource-quota";
const zero: Quantity = { nanos: 0n, format: "decimal" };

/**
 * Objects are created only within the quotas of their namespace (upstream's ResourceQuota), exactly:
 * whatever counts is written together with the quota's `status.used`, and only if the quota is still
 * as it was read. What is used is summed up anew from the watch cache, which has seen every earlier
 * such write once it has seen the quota, so that nothing drifts.
 */
export function resourceQuota(sources: QuotaSources): AdmissionPlugin {
  const quotas = sources.registry.required("v1", "ResourceQuota");
  return {
    name,
    operations: ["create", "update"],
    mutate({ resource, subresource, namespace, document }) {
      if (resource !== quotas || subresource !== "" || document === undefined) return;
      const quota = document as ResourceQuota;
      const hard = quota.spec?.hard ?? {};
      quota.status = { hard: { ...hard }, used: usedOf(sources, quota, namespace) };
    },
    async validate(request) {
      const { resource, namespace, document, notes } = request;
      const again = notes.has(name);
      notes.set(name, []);
      if (!isCharged(request) || !resource.namespaced || document === undefined) return;
      const found: Companion[] = [];
      for (const cached of [...sources.list(quotas, namespace)]) {
        const stored = again ? await sources.fetch(quotas, cached.key) : cached;
        if (stored === undefined) continue;
        await sources.waitFor(stored.revision);
        const next = charged(sources, request, document, stored);
        if (next !== undefined) found.push(next);
      }
      notes.set(name, found);
    },
    companions({ notes }): Companions | undefined {
      const found = (notes.get(name) ?? []) as readonly Companion[];
      if (found.length === 0) return undefined;
      return {
        compares: found.map(({ stored: { key, revision } }) => ({
          ...{ key: keyBytes(key), target: "mod", operator: "=", operand: revision },
        })),
        operations: found.map(({ stored, next }) => ({
          op: "put",
          key: keyBytes(stored.key),
          value: encodeStored(quotas, next),
        })),
        reads: found.map(({ stored }) => stored.key),
      };
    },
  };
}

/** What a pod asks for changes by its resize alone. */
function isCharged({ operation, resource, subresource }: AdmissionRequest): boolean {
  const isPod = resource.group === "" && resource.plural === "pods";
  if (subresource === "resize") return isPod && operation === "update";
  return subresource === "" && (operation === "create" || !isPod);
}

interface Companion {
  readonly stored: StoredObject;
  readonly next: Document;
}

/** The quota with the object charged to it; undefined: it bounds nothing of what is asked for. */
function charged(
  sources: QuotaSources,
  request: AdmissionRequest,
  document: Document,
  stored: StoredObject,
): Companion | undefined {
  const { resource, namespace } = request;
  const quota = stored.document as ResourceQuota;
  const hard = quota.spec?.hard ?? {};
  if (!isCounted(quota, resource, document)) return undefined;
  checkStated(request, quota, document);
  const nowMillis = sources.now();
  const delta = increase(request, quota, document, nowMillis);
  const names = Object.keys(hard).filter((each) => delta.has(each));
  if (names.length === 0) return undefined;
  const objects = documents(sources.list(resource, namespace));
  const sums = totalUsage(quota, resource, objects, nowMillis);
  const used: Record<string, string> = { ...quota.status?.used };
  const exceeded: string[] = [];
  for (const each of names.sort()) {
    const after = addQuantities(sums.get(each) ?? zero, delta.get(each) ?? zero);
    const bound = parseQuantity(hard[each] ?? "") ?? zero;
    if (compareQuantities(after, bound) > 0) exceeded.push(each);
    used[each] = formatQuantity(after);
  }
  if (exceeded.length > 0) {
    const shown = (amountOf: (each: string) => Quantity | string) =>
      exceeded
        .map((each) => {
          const amount = amountOf(each);
          return `${each}=${typeof amount === "string" ? amount : formatQuantity(amount)}`;
        })
        .join(",");
    throw forbidden(
      resource,
      request.name,
      `exceeded quota: ${stored.name}, requested: ${shown((each) => delta.get(each) ?? zero)}, ` +
        `used: ${shown((each) => sums.get(each) ?? zero)}, ` +
        `limited: ${shown((each) => hard[each] ?? "")}`,
    );
  }
  const next = { ...stored.copy(), status: { hard: { ...hard }, used } } as Document;
  return { stored, next };
}

/** What the object uses more than before. */
function increase(
  request: AdmissionRequest,
  quota: ResourceQuota,
  document: Document,
  nowMillis: number,
): Usage {
  const usage = usageOf(request.resource, document, nowMillis);
  const { stored } = request;
  const before =
    stored === undefined || !isCounted(quota, request.resource, stored)
      ? new Map<string, Quantity>()
      : usageOf(request.resource, stored, nowMillis);
  return new Map(
    [...usage]
      .map(
        ([each, amount]) => [each, subtractQuantities(amount, before.get(each) ?? zero)] as const,
      )
      .filter(([, amount]) => amount.nanos > 0n),
  );
}

/** Everything that a quota bounds, for its status. */
function usedOf({ registry, list, now }: QuotaSources, quota: ResourceQuota, namespace: string) {
  const objectsOf: ObjectsOf = ({ plural, group }) => {
    const resource = registry.find(plural, group);
    if (resource === undefined || !resource.stored || !resource.namespaced) return undefined;
    return documents(list(resource, namespace));
  };
  return quotaUsage(quota, objectsOf, now());
}

function* documents(objects: Iterable<StoredObject>): Generator<Document> {
  for (const { document } of objects) yield document;
}

const stated = ["cpu", "memory"].flatMap((each) => [each, `requests.${each}`, `limits.${each}`]);

/** Every container of a pod says what it asks for of that which is bounded (`Constraints`). */
function checkStated(request: AdmissionRequest, quota: ResourceQuota, document: Document): void {
  const { resource } = request;
  if (resource.group !== "" || resource.plural !== "pods") return;
  const { containers = [], initContainers = [], resources } = (document as Pod).spec ?? {};
  const missing = Object.keys(quota.spec?.hard ?? {})
    .filter((each) => stated.includes(each) && !states({ resources }, each))
    .sort()
    .map((each) => {
      const silent = [...containers, ...initContainers].filter((one) => !states(one, each));
      return { each, names: silent.map((one) => one.name ?? "").sort() };
    })
    .filter(({ names }) => names.length > 0)
    .map(({ each, names }) => `${each} for: ${names.join(",")}`);
  if (missing.length === 0) return;
  const quotaName = quota.metadata?.name ?? "";
  throw forbidden(
    resource,
    request.name,
    `failed quota: ${quotaName}: must specify ${missing.join("; ")}`,
  );
}

function states({ resources }: Pick<Container, "resources">, name: string): boolean {
  const [first = "", second] = name.split(".");
  if (second === undefined) return resources?.requests?.[first] !== undefined;
  return resources?.[first as "requests" | "limits"]?.[second] !== undefined;
}
