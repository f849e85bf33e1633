/**
 * `metadata.managedFields`: who manages which fields (upstream: apimachinery `managedfields`). An
 * entry is known by its manager, operation, subresource and, for updates, its version.
 */
import type { ManagedFieldsEntry } from "../../../../proto/gen/meta.ts";
import { equalJson } from "../json.ts";
import { parseTime } from "../time.ts";
import { emptySet, type FieldSet, isEmpty, parseFieldSet, setOf, union } from "./field-set.ts";
import { shared } from "./shared.ts";

export interface Manager {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

/** By `idOf`. */
export type Managers = Map<string, Manager>;

export function idOf(manager: Omit<Manager, "time" | "fields">): string {
  const { name, operation, apiVersion, subresource } = manager;
  // A manager that applies under another version applies the same configuration.
  const version = operation === "Apply" ? "" : apiVersion;
  return `${operation} ${version} ${subresource} ${name}`;
}

/** Undefined: an entry is none that this server could have written. */
export function readManagers(
  entries: readonly ManagedFieldsEntry[] | undefined,
): Managers | undefined {
  const managers: Managers = new Map();
  for (const entry of entries ?? []) {
    const { manager: name = "", operation, apiVersion = "", subresource = "", time } = entry;
    if (operation !== "Apply" && operation !== "Update") return undefined;
    if (apiVersion === "" || entry.fieldsType !== "FieldsV1") return undefined;
    const fields = parseFieldSet(entry.fieldsV1 ?? {});
    if (fields === undefined) return undefined;
    const manager: Manager = { name, operation, apiVersion, subresource, time, fields };
    managers.set(idOf(manager), manager);
  }
  return managers;
}

/** The managers of a document that this server wrote, taken as they stand. */
export function storedManagers(entries: readonly ManagedFieldsEntry[] | undefined): Managers {
  const managers: Managers = new Map();
  for (const entry of entries ?? []) {
    const { manager: name = "", apiVersion = "", subresource = "", time } = entry;
    const operation = entry.operation === "Apply" ? "Apply" : "Update";
    const fields = (entry.fieldsV1 ?? {}) as FieldSet;
    const manager: Manager = { name, operation, apiVersion, subresource, time, fields };
    managers.set(idOf(manager), manager);
  }
  return managers;
}

/** Sorted as upstream sorts them: by operation, then the oldest first. */
export function writeManagers(managers: Managers): ManagedFieldsEntry[] | undefined {
  if (managers.size === 0) return undefined;
  const all = [...managers.values()];
  if (all.length > 1) all.sort(inOrder);
  return all.map(({ name, operation, apiVersion, subresource, time, fields }) => ({
    manager: name,
    operation,
    apiVersion,
    ...(time !== undefined && { time }),
    fieldsType: "FieldsV1",
    fieldsV1: shared(fields),
    ...(subresource !== "" && { subresource }),
  }));
}

function inOrder(one: Manager, other: Manager): number {
  return (
    compareTexts(one.operation, other.operation) ||
    secondsOf(one.time) - secondsOf(other.time) ||
    compareTexts(one.name, other.name) ||
    compareTexts(one.apiVersion, other.apiVersion) ||
    compareTexts(one.subresource, other.subresource)
  );
}

function compareTexts(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function secondsOf(time: string | undefined): number {
  return Math.floor((parseTime(time) ?? 0) / 1000);
}

/** Whether the user asks for all ownership to be forgotten: an empty list, or one empty entry. */
export function isReset(entries: readonly ManagedFieldsEntry[] | undefined): boolean {
  if (entries === undefined || entries.length > 1) return false;
  return Object.values(entries[0] ?? {}).every((value) => value === undefined || value === "");
}

/** Equal but for the times. */
export function sameOwnership(
  one: readonly ManagedFieldsEntry[] | undefined,
  other: readonly ManagedFieldsEntry[] | undefined,
): boolean {
  const [left, right] = [one ?? [], other ?? []];
  if (left.length !== right.length) return false;
  return left.every((entry, index) => {
    const { time: _, ...rest } = entry;
    const { time: _time, ...same } = right[index] ?? {};
    return equalJson(rest, same);
  });
}

/** Fields that belong to the server or to the address of an object: they have no manager. */
export const unmanagedFields: FieldSet = setOf(
  ["f:apiVersion"],
  ["f:kind"],
  ["f:metadata"],
  ...[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
  ].map((name) => ["f:metadata", `f:${name}`]),
);

/** Updates of more managers than this share entries, the oldest first (`DefaultMaxUpdateManagers`). */
const updateManagersMax = 10;

/** Merges the oldest updates of each version into one entry until few enough are left. */
export function capUpdates(managers: Managers): void {
  const updates = [...managers].filter(([, { operation }]) => operation === "Update");
  let count = updates.length;
  if (count <= updateManagersMax) return;
  updates.sort(
    ([id, one], [otherId, other]) =>
      secondsOf(one.time) - secondsOf(other.time) || compareTexts(id, otherId),
  );
  const firsts = new Map<string, string>();
  for (const [id, manager] of updates) {
    if (count <= updateManagersMax) return;
    const { apiVersion, time } = manager;
    const first = firsts.get(apiVersion);
    if (first === undefined) {
      firsts.set(apiVersion, id);
      continue;
    }
    const bucket = { name: "ancient-changes", operation: "Update", subresource: "" } as const;
    const bucketId = idOf({ ...bucket, apiVersion });
    if (id === bucketId) continue;
    let present = managers.get(bucketId);
    if (present === undefined) {
      present = managers.get(first);
      managers.delete(first);
    }
    managers.delete(id);
    const fields = union(manager.fields, present?.fields ?? emptySet);
    managers.set(bucketId, { ...bucket, apiVersion, time, fields });
    count -= 1;
  }
}

/** Forgets managers who are left without a field. */
export function dropEmpty(managers: Managers): void {
  for (const [id, { fields }] of managers) if (isEmpty(fields)) managers.delete(id);
}
