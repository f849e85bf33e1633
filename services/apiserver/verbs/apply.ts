/** Server-side apply: the patch that says what a manager wants, whether or not the object exists. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { ManagedFieldsEntry, PatchRequest } from "../../../proto/gen/meta.ts";
import {
  apiVersionOf,
  applyConfiguration,
  checkApplied,
  conflictCauses,
  conflictMessage,
  copyJson,
  type Document,
  duplicatesText,
  type FieldSet,
  fieldSetOf,
  MisfitError,
  parseJson,
  parseYaml,
  type Resource,
  rfc3339Seconds,
} from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { alreadyExists, badRequest, conflict, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change } from "./change.ts";
import { createDocument } from "./create.ts";
import { checkDocument, dryRunOf, schemaModeOf } from "./documents.ts";
import { managerOf } from "./managed-fields.ts";
import { allow, type Target } from "./pipeline.ts";
import { replace } from "./update.ts";
import { warn, warnOfFields } from "./warnings.ts";

/**
 * Applies the configuration to the object, or creates the object with it. Throws Conflict, with a
 * cause per field, when others manage what it would change.
 */
export async function applied(
  backend: Backend,
  call: Call,
  target: NamedTarget,
  request: PatchRequest,
): Promise<StoredObject> {
  const { resource, subresource = "" } = target;
  const configuration = configurationOf(call, target, request);
  if (subresource === "") warnOfFields(call, resource, configuration, request.options);
  const ignored = ignoredBy(resource, subresource, configuration);
  return applyConfigured(backend, call, target, request, configuration, { ignored });
}

export type NamedTarget = Target & { readonly name: string };

interface AppliedAs {
  /** Fields of the configuration that the request cannot write. */
  readonly ignored?: FieldSet;
  /** In which conflicts show the fields; absent: in which they are managed. */
  readonly shownVersion?: string | undefined;
  /** Asks the admission chain in its own way, and may change what the object is to become. */
  admitted?(
    stored: StoredObject,
    next: Document,
    admission: (document: Document) => AdmissionRequest,
  ): Promise<void>;
}

export async function applyConfigured(
  backend: Backend,
  call: Call,
  target: NamedTarget,
  request: PatchRequest,
  configuration: Document,
  { ignored = fieldSetOf(), shownVersion, admitted }: AppliedAs = {},
): Promise<StoredObject> {
  const { resource, subresource = "", namespace, name } = target;
  const manager = managerOf(call, request.options);
  const dryRun = dryRunOf(request.options);
  const about = {
    ...{ resource, key: objectKey(resource, namespace, name), name, dryRun, subresource, manager },
  };
  const writer = { manager, subresource, time: rfc3339Seconds(backend.now()) };
  const work = { call, request, configuration, writer, resource, shownVersion };
  for (let attempt = 1; ; attempt++) {
    try {
      const { object } = await change(backend, call, about, async (stored, admission) => {
        const next = applyTo(work, stored.copy(), ignored);
        const document = next.document ?? stored.copy();
        const checked =
          next.document === undefined ? document : settled(work, document, stored.document);
        const owned = next.managedFields ?? [];
        if (admitted !== undefined) await admitted(stored, checked, admission);
        const known = { owned, admitted: admitted !== undefined };
        return replace(backend, stored, admission(checked), known);
      });
      return object;
    } catch (thrown) {
      if (subresource !== "" || !(thrown instanceof StatusError)) throw thrown;
      if (thrown.code !== Code.notFound || !resource.verbs.includes("create")) throw thrown;
    }
    const made = await tryCreate(backend, target, work, dryRun);
    if (made !== undefined) return made;
    if (attempt >= limits.updateAttempts) throw alreadyExists(resource, name);
  }
}

interface Work {
  readonly call: Call;
  readonly request: PatchRequest;
  readonly resource: Resource;
  readonly configuration: Document;
  readonly shownVersion?: string | undefined;
  readonly writer: {
    readonly manager: string;
    readonly subresource: string;
    readonly time: string;
  };
}

/** Undefined: another request has created the object meanwhile. */
async function tryCreate(
  backend: Backend,
  target: NamedTarget,
  work: Work,
  dryRun: boolean,
): Promise<StoredObject | undefined> {
  const { resource, namespace, name } = target;
  const { call, configuration } = work;
  const { uid, resourceVersion } = configuration.metadata ?? {};
  if (uid) {
    const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
    throw conflict(resource, name, why);
  }
  if (resourceVersion) throw conflict(resource, name);
  allow(backend, call, { verb: "create", resource, namespace, name });
  const ignored = resource.statusOnCreate ? fieldSetOf() : ignoredBy(resource, "", configuration);
  const next = applyTo(work, undefined, ignored);
  const document = settled(work, next.document ?? {}, {});
  document.metadata = { ...document.metadata, name };
  const own = () => next.managedFields ?? [];
  try {
    const object = await createDocument(backend, call, resource, document, {
      ...{ namespace, dryRun, own },
    });
    call.created = true;
    return object;
  } catch (thrown) {
    if (thrown instanceof StatusError && thrown.code === Code.alreadyExists) return undefined;
    throw thrown;
  }
}

/** Throws Conflict, BadRequest. */
function applyTo(
  { request, resource, configuration, writer, shownVersion }: Work,
  live: Document | undefined,
  ignored: FieldSet,
): { document: Document | undefined; managedFields: ManagedFieldsEntry[] | undefined } {
  const force = request.force === true;
  // What is put into the object is changed there afterwards, and applied again on a lost race.
  const configured = copyJson(configuration);
  try {
    const outcome = applyConfiguration(
      { resource, live, applied: configured, force, ignored },
      writer,
    );
    if (!("conflicts" in outcome)) return outcome;
    const conflicts = outcome.conflicts.map(({ manager, fields }) => {
      const { apiVersion } = manager;
      return { fields, manager: { ...manager, apiVersion: shownVersion ?? apiVersion } };
    });
    throw new StatusError(Code.aborted, conflictMessage(conflicts), {
      reason: "Conflict",
      causes: conflictCauses(conflicts),
    });
  } catch (thrown) {
    if (thrown instanceof MisfitError) throw badRequest(thrown.message);
    throw thrown;
  }
}

/** Without nulls, and with what the stored object has and its message does not know. */
function settled(work: Work, document: Document, stored: Document): Document {
  const { call, resource, request } = work;
  const tolerated = new Set(resource.schema.check(stored, "warn").unknown);
  const checked = checkDocument(call, resource, document, request.options, { tolerated });
  return resource.schema.keepUnknown(checked, stored);
}

/** What a write of the object, or of its status, cannot change, it cannot claim. */
function ignoredBy(resource: Resource, subresource: string, configuration: Document) {
  if (subresource === "") {
    return resource.subresources.status ? fieldSetOf(["f:status"]) : fieldSetOf();
  }
  const others = Object.keys(configuration).filter((name) => name !== subresource);
  return fieldSetOf(...others.map((name) => [`f:${name}`]));
}

/** What a request applies. Throws BadRequest, Invalid. */
export function configurationOf(
  call: Call,
  target: NamedTarget,
  { patch = Buffer.alloc(0), options }: PatchRequest,
): Document {
  const { resource, namespace, name } = target;
  const mode = schemaModeOf(options);
  const { value, duplicates } = parse(patch);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest("error decoding YAML: the configuration must be an object");
  }
  if (duplicates.length > 0 && mode === "strict") {
    throw badRequest(`error strict decoding YAML: ${duplicates.join(", ")}`);
  }
  if (mode === "warn") warn(call, duplicates);
  const given = value as Document;
  if (given.apiVersion !== apiVersionOf(resource) || given.kind !== resource.kind) {
    const { apiVersion = "/", kind = "" } = given;
    throw badRequest(`invalid object type: ${apiVersion}, Kind=${kind}`);
  }
  const { errors, misfit, document } = checkApplied(resource, given);
  if (misfit !== undefined) throw badRequest(misfit);
  if (errors.length > 0) throw invalid(resource, name, errors);
  const metadata = document.metadata ?? {};
  if ((given.metadata?.managedFields ?? null) !== null) {
    throw badRequest("metadata.managedFields must be nil");
  }
  if (metadata.name && metadata.name !== name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  if (resource.namespaced && metadata.namespace && metadata.namespace !== namespace) {
    throw badRequest(
      `the namespace of the object (${metadata.namespace}) does not match the namespace on the ` +
        `request (${namespace})`,
    );
  }
  return document;
}

/** JSON, or YAML of one document. */
function parse(patch: Uint8Array): { value: unknown; duplicates: readonly string[] } {
  const text = Buffer.from(patch).toString("utf8");
  if (/^\s*\{/.test(text)) {
    try {
      return parseJson(text, limits.objectBytes);
    } catch (thrown) {
      if (!(thrown instanceof StatusError) || thrown.code !== Code.invalidArgument) throw thrown;
    }
  }
  if (patch.length > limits.objectBytes) {
    throw badRequest(`the patch of ${patch.length} bytes exceeds ${limits.objectBytes} bytes`);
  }
  try {
    const duplicates: string[] = [];
    const [value, more] = parseYaml(text, duplicates);
    if (more !== undefined) throw badRequest("more than one document");
    const problems = duplicatesText(duplicates);
    return { value, duplicates: problems.map((each) => `error converting YAML to JSON: ${each}`) };
  } catch (thrown) {
    throw badRequest(`error decoding YAML: ${StatusError.from(thrown).message}`);
  }
}
