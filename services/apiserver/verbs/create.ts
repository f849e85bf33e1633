import type { Compare, Operation } from "../../../ha/store/types.ts";
import type { ManagedFieldsEntry, WriteOptions } from "../../../proto/gen/meta.ts";
import {
  type Document,
  generateName,
  type Resource,
  rfc3339Seconds,
  validateMetadata,
} from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { alreadyExists, badRequest, invalid, timeout } from "../errors.ts";
import { limits } from "../limits.ts";
import { fetchObject, ready, storedAt, writtenAt } from "../storage/fetch.ts";
import { keyBytes, listPrefix, objectKey, prefixEnd } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Body } from "./body.ts";
import type { Call } from "./call.ts";
import { encodeChecked, recalled } from "./change.ts";
import { commitExpected, goApart, recall, WriteId } from "./commit.ts";
import { checkType, contextOf, countsGenerations, dryRunOf, metadataOf } from "./documents.ts";
import { managerOf, trackedFields } from "./managed-fields.ts";
import { checkWriteOptions } from "./options.ts";
import { dropRepeatedOwners } from "./owners.ts";
import { namespaceOf, run } from "./pipeline.ts";
import { leaseOf } from "./time-to-live.ts";
import { computeCreate } from "./virtual.ts";
import { addWarnings, fieldsWithoutEffect, warn } from "./warnings.ts";

export interface WriteRequest {
  readonly body: Body;
  readonly namespace?: string | undefined;
  readonly options?: WriteOptions | undefined;
}

/** Throws AlreadyExists, Invalid, Forbidden, NotFound (of the namespace). */
export async function create(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: WriteRequest,
): Promise<StoredObject> {
  const { body, options } = request;
  const namespace = namespaceOf(resource, request.namespace, body.namespace);
  // The name of a new node is part of what a kubelet is allowed to create.
  const name = resource.namespaced ? "" : (body.name ?? "");
  const target = { verb: "create", resource, namespace, name };
  return run(backend, call, target, contentOf(call, request), async () => {
    checkWriteOptions("CreateOptions", options);
    const dryRun = dryRunOf(options);
    const document = body.decode(call, options);
    checkType(resource, document);
    dropRepeatedOwners(call, document);
    const ineffective = fieldsWithoutEffect(resource, document, options);
    if (!resource.stored) {
      warn(call, ineffective);
      return computeCreate(backend, call, resource, document, { namespace, dryRun });
    }
    const manager = managerOf(call, options);
    const own: Own = (next, given) => trackedFields(backend, { resource, next, given, manager });
    const created = await createDocument(backend, call, resource, document, {
      ...{ namespace, dryRun, own },
    });
    warn(call, ineffective);
    return created;
  });
}

/** What becomes of `managedFields`, given the defaulted document and those that were sent. */
export type Own = (
  document: Document,
  given: ManagedFieldsEntry[] | undefined,
) => ManagedFieldsEntry[];

/** Defaults, admits, validates and writes a new object. */
export async function createDocument(
  backend: Backend,
  call: Call,
  resource: Resource,
  document: Document,
  about: { readonly namespace: string; readonly dryRun: boolean; readonly own: Own },
): Promise<StoredObject> {
  prepare(backend, resource, document, about);
  const id = new WriteId(call.requestId);
  try {
    return await attempts(backend, call, resource, document, about.dryRun, id);
  } catch (thrown) {
    const revision = await recall(backend, call, call.requestId, thrown);
    if (revision === undefined) throw thrown;
    return createdAt(backend, resource, document, revision);
  }
}

/** What tells one write of an object from another. */
export function contentOf(call: Call, request: WriteRequest): readonly (string | Uint8Array)[] {
  if (call.requestId === undefined) return [];
  return [...request.body.identity(), JSON.stringify(request.options ?? {})];
}

function prepare(
  backend: Backend,
  resource: Resource,
  document: Document,
  { namespace, own }: { readonly namespace: string; readonly own: Own },
): void {
  const metadata = metadataOf(document);
  const { managedFields: given } = metadata;
  if (metadata.resourceVersion) {
    throw badRequest("resourceVersion should not be set on objects to be created");
  }
  for (const field of serverFields) delete metadata[field];
  if (resource.namespaced) metadata.namespace = namespace;
  else delete metadata.namespace;
  metadata.uid = backend.newUid();
  metadata.creationTimestamp = rfc3339Seconds(backend.now());
  if (countsGenerations(resource)) metadata.generation = 1;
  if (resource.subresources.status && !resource.statusOnCreate) delete document["status"];
  resource.setDefaults(document);
  const managedFields = own(document, given);
  if (managedFields.length > 0) metadata.managedFields = managedFields;
}

const serverFields = [
  "selfLink",
  "resourceVersion",
  "generation",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "managedFields",
] as const;

async function attempts(
  backend: Backend,
  call: Call,
  resource: Resource,
  document: Document,
  dryRun: boolean,
  id: WriteId,
): Promise<StoredObject> {
  const metadata = metadataOf(document);
  const prefix = metadata.name ? undefined : metadata.generateName;
  const notes = new Map<string, unknown>();
  for (let attempt = 0; attempt < limits.addressAttempts; attempt++) {
    if (prefix) metadata.name = generateName(prefix, (limit) => backend.random(limit));
    const name = metadata.name ?? "";
    const admission = admissionRequest(call, resource, document, dryRun, notes);
    await admit(backend, admission, document);
    const value = await encodeChecked(resource, document);
    const key = objectKey(resource, metadata.namespace ?? "", name);
    if (dryRun) {
      const existing = await fetchObject(backend, resource, key);
      if (existing !== undefined) throw alreadyExists(resource, name);
      return ready(storedAt(resource, key, value, 0));
    }
    const companions = backend.admission.companions(admission);
    const put: Operation = {
      op: "put",
      key: keyBytes(key),
      value,
      lease: await leaseOf(backend, resource),
    };
    const written = { resource, key, value, document };
    const result = await commitExpected(backend, call, written, id, {
      compares: [absent(key), ...companions.compares],
      success: [put, ...companions.operations],
      reads: [key, ...companions.reads],
    });
    if (result.committed) {
      const { revision } = result;
      if (result.replayed) return createdAt(backend, resource, document, revision);
      return writtenAt(backend.cache.of(resource), resource, key, { value, document, revision });
    }
    if (result.found.get(key) !== undefined && (!prefix || attempt >= limits.nameAttempts)) {
      throw alreadyExists(resource, name);
    }
    const refused = companions.explain?.(result.found);
    if (refused !== undefined) throw refused;
    if (attempt >= limits.nameAttempts) await goApart(backend, call);
  }
  throw timeout(`${resource.plural} "${metadata.name}": no free name or address was found in time`);
}

function admissionRequest(
  call: Call,
  resource: Resource,
  document: Document,
  dryRun: boolean,
  notes: Map<string, unknown>,
): AdmissionRequest {
  const { namespace = "", name = "" } = metadataOf(document);
  return {
    user: call.user,
    operation: "create",
    resource,
    subresource: "",
    namespace,
    name,
    document,
    stored: undefined,
    dryRun,
    warnings: call.warnings,
    annotate: call.audit?.annotate,
    traced: call,
    notes,
  };
}

/** The admission chain around the resource's own preparation and validation. */
async function admit(
  backend: Backend,
  admission: AdmissionRequest,
  document: Document,
): Promise<void> {
  const { resource } = admission;
  await backend.admission.mutate(admission);
  resource.prepareForCreate(document, contextOf(admission));
  const causes = [...validateMetadata(resource, document), ...resource.validate(document)];
  const { name, generateName: prefix } = metadataOf(document);
  if (causes.length > 0) throw invalid(resource, name || prefix || "", causes);
  addWarnings(admission.warnings, resource.warnings?.(document));
  await backend.admission.validate(admission);
}

function absent(key: string): Compare {
  return { key: keyBytes(key), target: "version", operator: "=", operand: 0 };
}

/** What the first attempt of a repeated creation made; a generated name is found by its revision. */
async function createdAt(
  backend: Backend,
  resource: Resource,
  document: Document,
  revision: number,
): Promise<StoredObject> {
  const { namespace = "", name = "" } = metadataOf(document);
  const key = objectKey(resource, namespace, name);
  await backend.cache.waitFor(revision);
  const named = await fetchObject(backend, resource, key, revision);
  if (named?.revision === revision) return named;
  const prefix = listPrefix(resource, namespace);
  const at = revision as NonNullable<Parameters<Backend["store"]["range"]>[0]["revision"]>;
  const { kvs } = await backend.store.range(
    {
      key: keyBytes(prefix),
      rangeEnd: prefixEnd(prefix),
      revision: at,
      minModRevision: at,
      maxModRevision: at,
      limit: 1,
    },
    { serializable: true },
  );
  const [kv] = kvs;
  if (kv === undefined) return (await recalled(backend, { resource, key, name }, revision)).object;
  const found = Buffer.from(kv.key).toString("utf8");
  return ready(storedAt(resource, found, kv.value, kv.modRevision));
}
