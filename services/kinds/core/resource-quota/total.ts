/** What a namespace uses of everything that one of its quotas bounds. Pure. */
import type { ResourceQuota } from "../../../../proto/gen/core.ts";
import { formatQuantity, type Quantity } from "../../machinery/quantity.ts";
import { isCounted } from "./scopes.ts";
import {
  addUsage,
  type CountedObject,
  type CountedResource,
  countedResourceOf,
  type Usage,
  usageOf,
} from "./usage.ts";

const zero: Quantity = { nanos: 0n, format: "decimal" };

/** The objects of one resource in the quota's namespace; undefined: they are not known. */
export type ObjectsOf = (resource: CountedResource) => Iterable<CountedObject> | undefined;

/** Of those objects of the resource that the quota counts. */
export function totalUsage(
  quota: ResourceQuota,
  resource: CountedResource,
  objects: Iterable<CountedObject>,
  nowMillis: number,
): Usage {
  const total: Usage = new Map();
  for (const object of objects) {
    if (isCounted(quota, resource, object)) addUsage(total, usageOf(resource, object, nowMillis));
  }
  return total;
}

/** By name, for `status.used`. Without the names whose objects are not known. */
export function quotaUsage(
  quota: ResourceQuota,
  objectsOf: ObjectsOf,
  nowMillis: number,
): Record<string, string> {
  const totals = new Map<string, Usage | undefined>();
  const used: Record<string, string> = {};
  for (const name of Object.keys(quota.spec?.hard ?? {})) {
    const resource = countedResourceOf(name);
    const key = `${resource.plural}.${resource.group}`;
    if (!totals.has(key)) {
      const objects = objectsOf(resource);
      totals.set(key, objects && totalUsage(quota, resource, objects, nowMillis));
    }
    const total = totals.get(key);
    if (total !== undefined) used[name] = formatQuantity(total.get(name) ?? zero);
  }
  return used;
}
