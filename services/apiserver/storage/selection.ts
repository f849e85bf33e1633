import { StatusError } from "../../../ha/runtime/status-error.ts";
import {
  matchesFields,
  matchesLabels,
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
  /** Equal for equal selections, so that watchers can share the work. */
  readonly id: string;
  /** Every selected key begins with it. */
  readonly prefix: string;
  /** Set when at most one key can be selected. */
  readonly onlyKey: string | undefined;
  /** False: the prefix alone decides. */
  readonly filtered: boolean;
  /** Whether labels and fields match; the caller sees to the prefix. */
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
  const addressable = named !== undefined && (!resource.namespaced || namespace !== "");
  return {
    id: JSON.stringify([namespace, labelText, fieldText]),
    prefix: listPrefix(resource, namespace),
    onlyKey: addressable ? objectKey(resource, namespace, named.value) : undefined,
    filtered: labels !== undefined || fields !== undefined,
    matches: (object) =>
      (labels === undefined || matchesLabels(labels, object.document.metadata?.labels)) &&
      (fields === undefined || matchesFields(resource, fields, object.document)),
  };
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const status = StatusError.from(error);
    throw status.detail === undefined ? badRequest(status.message) : status;
  }
}
