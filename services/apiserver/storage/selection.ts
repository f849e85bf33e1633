import { StatusError } from "../../../ha/runtime/status-error.ts";
import {
  matchesLabels,
  meetsTerms,
  parseFieldSelector,
  parseLabelSelector,
  type Resource,
} from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import { listPrefix, objectKey } from "./keys.ts";
import type { StoredObject } from "./stored-object.ts";

export interface SelectionRequest {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** Which objects of a kind a list or watch is about. */
export interface Selection {
  /** As what the objects are shown; selectors are evaluated on this form. */
  readonly resource: Resource;
  /** Equal for equal selections of a resource, so that watchers can share the work. */
  readonly id: string;
  /** Every selected key begins with it. */
  readonly prefix: string;
  /** Set when at most one key can be selected. */
  readonly onlyKey: string | undefined;
  /** False: the prefix alone decides. */
  readonly filtered: boolean;
  /** What the field must be of every selected object, where the resource has an index of it. */
  readonly indexed: { readonly field: string; readonly value: string } | undefined;
  /** The selectors look at more of the objects than their metadata. */
  readonly readsFields: boolean;
  /** Whether labels and fields match; the caller sees to the prefix and to the form. */
  matches(object: StoredObject): boolean;
}

/** Throws BadRequest for a selector that cannot be parsed. */
export function createSelection(resource: Resource, request: SelectionRequest): Selection {
  const namespace = resource.namespaced ? (request.namespace ?? "") : "";
  const labelText = request.labelSelector ?? "";
  const fieldText = request.fieldSelector ?? "";
  const labels = labelText === "" ? undefined : parsed(() => parseLabelSelector(labelText));
  const fields =
    fieldText === "" ? undefined : parsed(() => parseFieldSelector(fieldText, resource));
  const named = fields?.terms.find(
    (term) => term.field === "metadata.name" && term.operator === "=",
  );
  const { indexedFields = [] } = resource;
  const indexed = fields?.terms.find(
    ({ field, operator }) => operator === "=" && indexedFields.includes(field),
  );
  const addressable = named !== undefined && (!resource.namespaced || namespace !== "");
  return {
    resource,
    id: JSON.stringify([namespace, labelText, fieldText]),
    prefix: listPrefix(resource, namespace),
    onlyKey: addressable ? objectKey(resource, namespace, named.value) : undefined,
    indexed,
    filtered: labels !== undefined || fields !== undefined,
    readsFields: fields?.terms.some(({ field }) => !field.startsWith("metadata.")) ?? false,
    matches: (object) => {
      if (labels === undefined && fields === undefined) return true;
      // A conversion leaves the metadata that selectors look at as it is.
      const shown = object.ready ? object : object.source;
      return (
        (labels === undefined || matchesLabels(labels, shown.labels)) &&
        (fields === undefined || meetsTerms(fields, (field) => fieldOf(shown, field)))
      );
    },
  };
}

function fieldOf(object: StoredObject, field: string): string {
  if (field === "metadata.name") return object.name;
  return field === "metadata.namespace" ? object.namespace : object.field(field);
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const status = StatusError.from(error);
    throw status.detail === undefined ? badRequest(status.message) : status;
  }
}
