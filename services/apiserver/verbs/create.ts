import type { Compare, KeyValue, Operation } from "../../../ha/store/types.ts";
import type { WriteOptions } from "../../../proto/gen/meta.ts";
import {
  type Document,
  generateName,
  type Kind,
  kindOf,
  rfc3339Seconds,
  validateMetadata,
} from "../../kinds/mod.ts";
import { companionsOf } from "../admission/companions.ts";
import { checkNamespace, prepareNamespace } from "../admission/namespace-lifecycle.ts";
import { assignAddress, checkAddresses, notAllocated } from "../admission/service-addresses.ts";
import { alreadyExists, badRequest, invalid, timeout } from "../errors.ts";
import { limits } from "../limits.ts";
import { keyBytes, listPrefix, objectKey, prefixEnd } from "../storage/keys.ts";
import { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { encodeChecked, recalled } from "./change.ts";
import { commit, recallAfter, WriteId } from "./commit.ts";
import { checkType, countsGenerations, dryRunOf, metadataOf, schemaModeOf } from "./documents.ts";
import { fetchObject } from "./fetch.ts";
import { namespaceOf, run } from "./pipeline.ts";

export interface WriteRequest {
  /** Belongs to the verb, which changes it. */
  readonly document: Document;
  readonly namespace?: string | undefined;
  readonly options?: WriteOptions | undefined;
}

/** Throws AlreadyExists, Invalid, Forbidden, NotFound (of the namespace). */
export async function create(
  backend: Backend,
  call: Call,
  kind: Kind,
  request: WriteRequest,
): Promise<StoredObject> {
  const { document } = request;
  const metadata = metadataOf(document);
  const namespace = namespaceOf(kind, request.namespace, metadata.namespace);
  const target = { verb: "create", kind, namespace, name: "" };
  // The name of a new node is part of what a kubelet is allowed to create.
  const name = metadata.name ?? "";
  return run(backend, call, kind.namespaced ? target : { ...target, name }, async () => {
    checkType(kind, document);
    schemaModeOf(request.options);
    prepare(backend, kind, document, namespace);
    const dryRun = dryRunOf(request.options);
    const id = new WriteId(call.requestId);
    try {
      return await attempts(backend, call, kind, document, dryRun, id);
    } catch (thrown) {
      const revision = await recallAfter(backend, call, call.requestId, thrown);
      return createdAt(backend, kind, document, revision);
    }
  });
}

function prepare(backend: Backend, kind: Kind, document: Document, namespace: string): void {
  const metadata = metadataOf(document);
  if (metadata.resourceVersion) {
    throw badRequest("resourceVersion should not be set on objects to be created");
  }
  for (const field of serverFields) delete metadata[field];
  if (kind.namespaced) metadata.namespace = namespace;
  else delete metadata.namespace;
  metadata.uid = backend.newUid();
  metadata.creationTimestamp = rfc3339Seconds(backend.now());
  if (countsGenerations(kind)) metadata.generation = 1;
  // A kubelet registers its node with the status it has; every other status starts empty.
  if (kind.hasStatus && kind.kind !== "Node") delete document["status"];
  kind.setDefaults(document);
  if (kind.kind === "Namespace") prepareNamespace(document);
  if (kind.kind === "Pod") {
    document["status"] = { phase: "Pending", ...(document["status"] as object | undefined) };
  }
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
  kind: Kind,
  document: Document,
  dryRun: boolean,
  id: WriteId,
): Promise<StoredObject> {
  const metadata = metadataOf(document);
  const prefix = metadata.name ? undefined : metadata.generateName;
  const isService = kind.kind === "Service" && kind.group === "";
  let wantsAddress = false;
  let namespace = await namespaceObject(backend, kind, metadata.namespace);
  for (let attempt = 0; attempt < limits.addressAttempts; attempt++) {
    if (prefix) metadata.name = generateName(prefix, (limit) => backend.random(limit));
    const name = metadata.name ?? "";
    checkNamespace(kind, name, metadata.namespace, namespace);
    if (isService) {
      if (wantsAddress) clearAddress(document);
      wantsAddress = assignAddress(backend, document);
    }
    validate(backend, kind, document, isService);
    const value = encodeChecked(kind, document);
    const key = objectKey(kind, metadata.namespace ?? "", name);
    if (dryRun) {
      const existing = await fetchObject(backend, kind, key);
      if (existing !== undefined) throw alreadyExists(kind, name);
      return new StoredObject(kind, key, value, 0);
    }
    const companions = companionsOf(kind, undefined, document);
    const put: Operation = { op: "put", key: keyBytes(key), value };
    const result = await commit(
      backend,
      call,
      {
        compares: [absent(key), ...unchangedNamespace(namespace), ...companions.compares],
        success: [put, ...companions.operations],
        reads: [key, ...(namespace ? [namespace.key] : []), ...companions.reads],
      },
      id,
    );
    if (result.committed) {
      if (result.replayed) return createdAt(backend, kind, document, result.revision);
      return new StoredObject(kind, key, value, result.revision);
    }
    if (result.found.get(key) !== undefined && (!prefix || attempt >= limits.nameAttempts)) {
      throw alreadyExists(kind, name);
    }
    if (!wantsAddress) checkTaken(kind, name, companions.reads, result.found);
    if (namespace) namespace = freshNamespace(namespace, result.found);
  }
  throw timeout(`${kind.plural} "${metadata.name}": no free name or address was found in time`);
}

function validate(backend: Backend, kind: Kind, document: Document, isService: boolean): void {
  const causes = [...validateMetadata(kind, document), ...kind.validate(document)];
  if (isService) causes.push(...checkAddresses(backend, document, undefined));
  const { name, generateName: prefix } = metadataOf(document);
  if (causes.length > 0) throw invalid(kind, name || prefix || "", causes);
}

function checkTaken(
  kind: Kind,
  name: string,
  keys: readonly string[],
  found: ReadonlyMap<string, KeyValue | undefined>,
): void {
  const taken = keys.find((key) => found.get(key) !== undefined);
  if (taken === undefined) return;
  const address = taken.slice(taken.lastIndexOf("/") + 1);
  throw invalid(kind, name, [notAllocated(address, "provided IP is already allocated")]);
}

function clearAddress(document: Document): void {
  const spec = document["spec"] as { clusterIP?: string; clusterIPs?: string[] };
  delete spec.clusterIP;
  delete spec.clusterIPs;
}

const namespaceKind = kindOf("v1", "Namespace");

/** The namespace a new object goes into, as far as the cache knows; else as the store has it. */
async function namespaceObject(
  backend: Backend,
  kind: Kind,
  name: string | undefined,
): Promise<StoredObject | undefined> {
  if (!kind.namespaced || name === undefined || namespaceKind === undefined) return undefined;
  const key = objectKey(namespaceKind, "", name);
  const cached = backend.cache.of(namespaceKind).get(key);
  return cached ?? (await fetchObject(backend, namespaceKind, key));
}

function freshNamespace(
  namespace: StoredObject,
  found: ReadonlyMap<string, KeyValue | undefined>,
): StoredObject | undefined {
  const kv = found.get(namespace.key);
  return kv && new StoredObject(namespace.kind, namespace.key, kv.value, kv.modRevision);
}

function absent(key: string): Compare {
  return { key: keyBytes(key), target: "version", operator: "=", operand: 0 };
}

/** Nothing is created in a namespace that has begun to terminate since it was looked at. */
function unchangedNamespace(namespace: StoredObject | undefined): Compare[] {
  if (namespace === undefined) return [];
  const { key, revision } = namespace;
  return [{ key: keyBytes(key), target: "mod", operator: "=", operand: revision }];
}

/** What the first attempt of a repeated creation made; a generated name is found by its revision. */
async function createdAt(
  backend: Backend,
  kind: Kind,
  document: Document,
  revision: number,
): Promise<StoredObject> {
  const { namespace = "", name = "" } = metadataOf(document);
  const key = objectKey(kind, namespace, name);
  await backend.cache.waitFor(revision);
  const named = await fetchObject(backend, kind, key, revision);
  if (named?.revision === revision) return named;
  const prefix = listPrefix(kind, namespace);
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
  if (kv === undefined) return (await recalled(backend, { kind, key, name }, revision)).object;
  return new StoredObject(kind, Buffer.from(kv.key).toString("utf8"), kv.value, kv.modRevision);
}
