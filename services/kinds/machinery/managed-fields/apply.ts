/** Server-side apply: a configuration becomes part of a document, and its manager the owner. */
import type { ManagedFieldsEntry } from "../../../../proto/gen/meta.ts";
import type { FieldType } from "../field-type.ts";
import { equalJson } from "../json.ts";
import { apiVersionOf } from "../registry.ts";
import type { Document, Resource } from "../resource.ts";
import { claimedFields, compare } from "./compare.ts";
import { type Conflict, conflictsOf } from "./conflicts.ts";
import {
  difference,
  emptySet,
  type FieldSet,
  intersection,
  isEmpty,
  recursiveDifference,
  union,
} from "./field-set.ts";
import { allowedByLastApplied, withLastApplied } from "./last-applied.ts";
import {
  capUpdates,
  dropEmpty,
  idOf,
  type Manager,
  type Managers,
  storedManagers,
  unmanagedFields,
  writeManagers,
} from "./managers.ts";
import { merge, withNamedFields, withoutFields } from "./merge.ts";
import { reconciled } from "./reconcile.ts";
import { emptyDocument, typeOf } from "./types.ts";
import type { Writer } from "./update.ts";

export interface Application {
  readonly resource: Resource;
  /** Undefined: there is no such object yet. Parts of it may come to stand in the result. */
  readonly live: Document | undefined;
  /** As it was sent, checked against the type. */
  readonly applied: Document;
  /** Takes fields over that others manage. */
  readonly force: boolean;
  /** Fields that the request cannot write, e.g. the status; they are not claimed. */
  readonly ignored: FieldSet;
}

export type Applied =
  | { readonly conflicts: readonly Conflict[] }
  | {
      /** Neither defaulted nor validated; undefined: the document stays as it is. */
      readonly document: Document | undefined;
      readonly managedFields: ManagedFieldsEntry[] | undefined;
    };

/** The manager whose applications carry on from kubectl's client-side apply. */
const kubectl = "kubectl";

/** Throws MisfitError. */
export function apply(application: Application, writer: Writer): Applied {
  const { live, applied, force } = application;
  const first = attempt(application, writer, force);
  if (writer.manager !== kubectl || live === undefined) return first;
  let outcome = first;
  if ("conflicts" in first) {
    const type = typeOf(application.resource);
    const allowed = allowedByLastApplied(application.resource, type, live);
    if (allowed === undefined) return first;
    const conflicts = first.conflicts
      .map((each) => ({ ...each, fields: difference(each.fields, allowed) }))
      .filter((each) => !isEmpty(each.fields));
    if (conflicts.length > 0) return { conflicts };
    outcome = attempt(application, writer, true);
  }
  if ("conflicts" in outcome) return outcome;
  const document = withLastApplied(outcome.document ?? live, applied);
  if (document === undefined || equalJson(document, live)) return outcome;
  return { ...outcome, document };
}

function attempt(application: Application, writer: Writer, force: boolean): Applied {
  const { resource, applied, ignored } = application;
  const type = typeOf(resource);
  const live = application.live ?? {};
  const managers = managersOf(application, type, writer);
  const claim: Manager = {
    name: writer.manager,
    operation: "Apply",
    apiVersion: apiVersionOf(resource),
    subresource: writer.subresource,
    time: undefined,
    fields: recursiveDifference(claimedFields(type, applied), ignored),
  };
  const id = idOf(claim);
  const last = managers.get(id);
  managers.set(id, { ...claim, time: last?.time });
  const merged = merge(type, live, applied, resource.schema.message !== undefined);
  const next = last === undefined ? merged : prune(type, merged, managers, last.fields, applied);
  const conflicts = settle(type, managers, id, live, next, ignored);
  if (!force && conflicts.length > 0) return { conflicts };
  const unchanged = equalJson(live, next);
  const own = managers.get(id);
  const stamped = own !== undefined && (!unchanged || own.time === undefined);
  if (stamped) managers.set(id, { ...own, time: writer.time });
  for (const [each, manager] of managers) {
    const fields = difference(manager.fields, unmanagedFields);
    if (fields !== manager.fields) managers.set(each, { ...manager, fields });
  }
  dropEmpty(managers);
  capUpdates(managers);
  const document = unchanged ? undefined : (next as Document);
  return { document, managedFields: writeManagers(managers) };
}

/** An object that was never tracked has one manager: "before-first-apply". */
function managersOf(application: Application, type: FieldType, writer: Writer): Managers {
  const { resource, live } = application;
  const managers = storedManagers(live?.metadata?.managedFields);
  if (live === undefined) return managers;
  if (managers.size > 0) {
    for (const [id, manager] of managers) {
      const fields = reconciled(type, manager.fields);
      if (fields !== manager.fields) managers.set(id, { ...manager, fields });
    }
    return managers;
  }
  const { added, modified } = compare(type, emptyDocument(resource), live);
  const before = {
    ...({
      name: "before-first-apply",
      operation: "Update",
      subresource: writer.subresource,
    } as const),
    apiVersion: apiVersionOf(resource),
    time: writer.time,
    fields: difference(union(added, modified), unmanagedFields),
  };
  if (!isEmpty(before.fields)) managers.set(idOf(before), before);
  return managers;
}

/** Takes what the others own and the change touches from them; answers what was taken by force. */
function settle(
  type: FieldType,
  managers: Managers,
  applying: string,
  live: unknown,
  next: unknown,
  ignored: FieldSet,
): Conflict[] {
  const { added, modified, removed } = compare(type, live, next);
  const touched = recursiveDifference(union(modified, added), ignored);
  const gone = recursiveDifference(removed, ignored);
  const conflicts: Conflict[] = [];
  for (const [id, manager] of managers) {
    if (id === applying) continue;
    const contested = intersection(manager.fields, touched);
    if (!isEmpty(contested)) conflicts.push({ manager, fields: contested });
    const fields = difference(difference(manager.fields, contested), gone);
    if (fields !== manager.fields) managers.set(id, { ...manager, fields });
  }
  return conflictsOf(conflicts);
}

/** Without what the manager's last configuration had, this one has not, and no other manager owns. */
function prune(
  type: FieldType,
  merged: unknown,
  managers: Managers,
  last: FieldSet,
  applied: unknown,
): unknown {
  if (isEmpty(last)) return merged;
  const named = (set: FieldSet) => withNamedFields(type, set);
  const before = named(last);
  const pruned = withoutFields(type, merged, before);
  const everything = named(claimedFields(type, merged));
  let owned: FieldSet = emptySet;
  for (const { fields } of managers.values()) owned = union(owned, fields);
  const left = named(claimedFields(type, pruned));
  const unowned = difference(everything, union(left, named(owned)));
  const kept = named(claimedFields(type, withoutFields(type, merged, unowned)));
  const dropped = intersection(difference(everything, kept), before);
  return withoutFields(type, merged, dropped, applied) ?? {};
}
