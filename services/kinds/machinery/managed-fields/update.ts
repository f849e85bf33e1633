/** Keeps the books when an object is created, updated or patched. */
import type { ManagedFieldsEntry } from "../../../../proto/gen/meta.ts";
import { equalJson } from "../json.ts";
import { apiVersionOf } from "../registry.ts";
import type { Document, Resource } from "../resource.ts";
import { compare } from "./compare.ts";
import { createdFields } from "./created.ts";
import { difference, type FieldSet, isEmpty, union } from "./field-set.ts";
import {
  capUpdates,
  dropEmpty,
  idOf,
  isReset,
  type Managers,
  readManagers,
  storedManagers,
  unmanagedFields,
  writeManagers,
} from "./managers.ts";
import { MisfitError } from "./path-element.ts";
import { emptyDocument, typeOf } from "./types.ts";

/** Who writes. */
export interface Writer {
  readonly manager: string;
  /** "" is the object itself. */
  readonly subresource: string;
  /** RFC 3339. */
  readonly time: string;
}

export interface Change {
  readonly resource: Resource;
  /** Undefined: the object is created. */
  readonly live: Document | undefined;
  /** Defaulted; its own managedFields are not looked at. */
  readonly next: Document;
  /** The managedFields that came with the request, if they may be set by it. */
  readonly given: readonly ManagedFieldsEntry[] | undefined;
}

/**
 * The managedFields of `next`. What was added or modified is the writer's from now on, and the
 * others lose it, as they lose what was removed. Objects that are not tracked stay so until they are
 * applied. `given`, when it is sound, replaces the managers; an empty list forgets them all.
 */
export function trackUpdate(change: Change, writer: Writer): ManagedFieldsEntry[] | undefined {
  const { live, given } = change;
  const stored = live?.metadata?.managedFields;
  if (isReset(given)) return live === undefined ? created(change, writer) : undefined;
  const kept = stored === undefined || stored.length === 0 ? undefined : stored;
  const own = given === undefined || given.length === 0 || equalJson(given, kept);
  const read = own ? undefined : readManagers(given);
  if (read === undefined) {
    if (live !== undefined && kept === undefined) return undefined;
    if (live === undefined) return created(change, writer);
    return tracked(change, writer, storedManagers(kept), kept);
  }
  return tracked(change, writer, read);
}

/** All fields are the writer's. */
function created({ resource, next }: Change, writer: Writer): ManagedFieldsEntry[] | undefined {
  const managers: Managers = new Map();
  try {
    const fields = createdFields(resource, next);
    if (!isEmpty(fields)) take(managers, resource, writer, fields);
  } catch (thrown) {
    // Elements that cannot be told apart have no owners: validation has the last word on them.
    if (!(thrown instanceof MisfitError)) throw thrown;
  }
  return writeManagers(managers);
}

/** `asStored`: what to answer when nothing changes. */
function tracked(
  { resource, live, next }: Change,
  writer: Writer,
  managers: Managers,
  asStored?: ManagedFieldsEntry[],
): ManagedFieldsEntry[] | undefined {
  let changes: ReturnType<typeof changesOf>;
  try {
    changes = changesOf(resource, live ?? emptyDocument(resource), next);
  } catch (thrown) {
    // Elements that cannot be told apart have no owners: validation has the last word on them.
    if (thrown instanceof MisfitError) return asStored ?? writeManagers(managers);
    throw thrown;
  }
  const { touched, taken } = changes;
  if (isEmpty(touched) && asStored !== undefined) return asStored;
  for (const [id, manager] of managers) {
    const fields = difference(difference(manager.fields, touched), unmanagedFields);
    if (fields !== manager.fields) managers.set(id, { ...manager, fields });
  }
  if (!isEmpty(taken)) take(managers, resource, writer, taken);
  dropEmpty(managers);
  capUpdates(managers);
  return writeManagers(managers);
}

function changesOf(resource: Resource, live: object, next: object) {
  const { added, modified, removed } = compare(typeOf(resource), live, next);
  const taken = difference(union(modified, added), unmanagedFields);
  return { taken, touched: union(taken, difference(removed, unmanagedFields)) };
}

function take(managers: Managers, resource: Resource, writer: Writer, taken: FieldSet): void {
  const { subresource, time } = writer;
  const name = writer.manager === "" ? "unknown" : writer.manager;
  const entry = {
    ...({ name, operation: "Update", subresource } as const),
    apiVersion: apiVersionOf(resource),
  };
  const id = idOf(entry);
  const present = managers.get(id);
  const fields = present === undefined ? taken : union(taken, present.fields);
  managers.set(id, { ...entry, time, fields });
}
