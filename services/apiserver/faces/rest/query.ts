/** Parameters of a request as the options that verbs take. Throws BadRequest for what is none. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  DeleteCollectionRequest,
  ListRequest,
  Preconditions,
  WatchRequest,
  WriteOptions,
} from "../../../../proto/gen/meta.ts";
import { forbidden, invalid, notSupported } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import type { Deletion } from "../../verbs/delete.ts";
import { refuseOptions } from "../../verbs/options.ts";
import { flagOf } from "./target.ts";

type Query = URLSearchParams;

/** Optional fields that are absent rather than undefined. */
function text<K extends string>(query: Query, name: K): { [P in K]?: string } {
  const value = query.get(name);
  return (value === null || value === "" ? {} : { [name]: value }) as { [P in K]?: string };
}

function whole<K extends string>(query: Query, name: K): { [P in K]?: number } {
  const value = query.get(name);
  if (value === null || value === "") return {};
  const number = Number(value);
  if (!/^-?\d{1,18}$/.test(value) || !Number.isSafeInteger(number)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  }
  return { [name]: number } as { [P in K]?: number };
}

function truth<K extends string>(query: Query, name: K): { [P in K]?: boolean } {
  const value = flagOf(query, name);
  return (value === undefined ? {} : { [name]: value }) as { [P in K]?: boolean };
}

function several<K extends string>(query: Query, name: K): { [P in K]?: string[] } {
  const values = query.getAll(name).filter((each) => each !== "");
  return (values.length === 0 ? {} : { [name]: values }) as { [P in K]?: string[] };
}

export function listOptions(query: Query, namespace: string): ListRequest {
  if (flagOf(query, "sendInitialEvents") !== undefined) {
    const cause = forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
    refuseOptions("ListOptions", [cause]);
  }
  // A list has a limit of its own; upstream too reads the option.
  whole(query, "timeoutSeconds");
  return {
    namespace,
    ...text(query, "labelSelector"),
    ...text(query, "fieldSelector"),
    ...whole(query, "limit"),
    ...text(query, "continue"),
    ...text(query, "resourceVersion"),
    ...text(query, "resourceVersionMatch"),
  };
}

/** `name`: a watch of one object alone. */
export function watchOptions(query: Query, namespace: string, name: string): WatchRequest {
  checkWatchOptions(query);
  const request = {
    namespace,
    ...text(query, "labelSelector"),
    ...text(query, "fieldSelector"),
    ...text(query, "resourceVersion"),
    ...truth(query, "allowWatchBookmarks"),
    ...whole(query, "timeoutSeconds"),
    ...truth(query, "sendInitialEvents"),
  };
  if (name === "") return request;
  const selector = ["metadata.name", name].join("=");
  const { fieldSelector } = request;
  const both = fieldSelector === undefined ? selector : `${selector},${fieldSelector}`;
  return { ...request, fieldSelector: both };
}

/** Throws Invalid (apimachinery `internalversion/validation`). */
function checkWatchOptions(query: Query): void {
  const field = "resourceVersionMatch";
  const match = query.get(field) ?? "";
  const initial = flagOf(query, "sendInitialEvents");
  const causes: FieldCause[] = [];
  if (initial !== undefined && match !== "NotOlderThan") {
    causes.push(forbidden(field, `sendInitialEvents requires setting ${field} to NotOlderThan`));
  }
  if (match !== "") {
    if (initial === undefined) {
      const why = `${field} is forbidden for watch unless sendInitialEvents is provided`;
      causes.push(forbidden(field, why));
    }
    if (match !== "NotOlderThan") causes.push(notSupported(field, match, ["NotOlderThan"]));
    if (query.get("continue")) {
      causes.push(forbidden(field, `${field} is forbidden when continue is provided`));
    }
  }
  refuseOptions("ListOptions", causes);
}

/** Unknown fields are warned of unless the request says otherwise, as upstream does. */
export function writeOptions(query: Query): WriteOptions {
  return {
    ...several(query, "dryRun"),
    ...text(query, "fieldManager"),
    fieldValidation: query.get("fieldValidation") || "Warn",
  };
}

/** Of a patch: whether an application takes over what others manage. */
export function forceOf(query: Query): { readonly force?: boolean } {
  return truth(query, "force");
}

/** DeleteOptions as they stand in a body. */
interface DeleteOptions {
  readonly gracePeriodSeconds?: unknown;
  readonly preconditions?: unknown;
  readonly propagationPolicy?: unknown;
  readonly orphanDependents?: unknown;
  readonly dryRun?: unknown;
}

const knownDeleteOptions = [
  "kind",
  "apiVersion",
  "gracePeriodSeconds",
  "preconditions",
  "propagationPolicy",
  "orphanDependents",
  "dryRun",
];

/** From the query, or else from the body; the body decides when there is one, as upstream. */
export function deleteOptions(
  query: Query,
  body: unknown,
  warnings: string[],
): Deletion & Pick<DeleteCollectionRequest, "propagationPolicy"> {
  if (body === undefined) {
    return {
      ...whole(query, "gracePeriodSeconds"),
      ...several(query, "dryRun"),
      ...policyOf(query.get("propagationPolicy") || undefined, flagOf(query, "orphanDependents")),
    };
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw badRequest("DeleteOptions: the body must be an object");
  }
  const options = body as DeleteOptions & { kind?: unknown };
  if (options.kind !== undefined && options.kind !== "DeleteOptions") {
    throw badRequest(`the body must be DeleteOptions, not ${JSON.stringify(options.kind)}`);
  }
  for (const name of Object.keys(options)) {
    if (!knownDeleteOptions.includes(name)) warnings.push(`unknown field ${JSON.stringify(name)}`);
  }
  const { gracePeriodSeconds, preconditions, dryRun } = options;
  return {
    ...(gracePeriodSeconds != null && {
      gracePeriodSeconds: wholeField("gracePeriodSeconds", gracePeriodSeconds),
    }),
    ...(preconditions != null && { preconditions: preconditionsOf(preconditions) }),
    ...(dryRun != null && { dryRun: textsField("dryRun", dryRun) }),
    ...policyOf(
      textField("propagationPolicy", options.propagationPolicy),
      truthField("orphanDependents", options.orphanDependents),
    ),
  };
}

function policyOf(policy: string | undefined, orphan: boolean | undefined) {
  if (policy !== undefined && orphan !== undefined) {
    const why = "orphanDependents and deletionPropagation cannot be both set";
    refuseOptions("DeleteOptions", [invalid("propagationPolicy", policy, why)]);
  }
  const chosen = policy ?? (orphan === undefined ? undefined : orphan ? "Orphan" : "Background");
  return chosen === undefined ? {} : { propagationPolicy: chosen };
}

function preconditionsOf(value: unknown): Preconditions {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrongType("preconditions", value, "an object");
  }
  const { uid, resourceVersion } = value as { uid?: unknown; resourceVersion?: unknown };
  return {
    uid: textField("preconditions.uid", uid),
    resourceVersion: textField("preconditions.resourceVersion", resourceVersion),
  };
}

function wrongType(field: string, value: unknown, wanted: string): Error {
  return badRequest(`DeleteOptions: ${field} is ${JSON.stringify(value)}, must be ${wanted}`);
}

function wholeField(field: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  throw wrongType(field, value, "a whole number");
}

function textField(field: string, value: unknown): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string") return value;
  throw wrongType(field, value, "a text");
}

function truthField(field: string, value: unknown): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "boolean") return value;
  throw wrongType(field, value, "true or false");
}

function textsField(field: string, value: unknown): string[] {
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  throw wrongType(field, value, "a list of texts");
}
