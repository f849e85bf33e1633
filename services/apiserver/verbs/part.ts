/** Subresources that are one part of an object, which nothing else may change. */

import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { PatchRequest } from "../../../proto/gen/meta.ts";
import { canonicalJson } from "../../kinds/machinery/json.ts";
import type { Document, Resource } from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { badRequest, invalid } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change, type Outcome } from "./change.ts";
import { contentOf, type WriteRequest } from "./create.ts";
import {
  checkType,
  countsGenerations,
  dryRunOf,
  metadataOf,
  sameButForTimes,
} from "./documents.ts";
import { managerOf, trackedFields } from "./managed-fields.ts";
import { checkPatchOptions, checkWriteOptions } from "./options.ts";
import { patchedOf } from "./patch.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { checkPreconditions } from "./update.ts";

export interface ObjectPart {
  /** As the subresource is called. */
  readonly name: string;
  /** Puts the part of `incoming` into `next`, a copy of what is stored. */
  take(next: Document, incoming: Document): void;
  /** Beside what holds for the whole object. */
  validate(next: Document, stored: Document): FieldCause[];
}

/** Throws NotFound, Conflict, Invalid. */
export async function updatePart(
  backend: Backend,
  call: Call,
  resource: Resource,
  part: ObjectPart,
  request: WriteRequest & { readonly typed?: boolean },
): Promise<StoredObject> {
  const { body, options, typed = false } = request;
  const namespace = namespaceOf(resource, request.namespace, body.namespace);
  const name = nameOf(body.name);
  const subresource = part.name;
  const target = { verb: "update", resource, subresource, namespace, name };
  return run(backend, call, target, contentOf(call, request), async () => {
    checkWriteOptions("UpdateOptions", options);
    const document = body.decode(call, options);
    checkType(resource, document);
    const key = objectKey(resource, namespace, name);
    const manager = managerOf(call, options);
    const about = { resource, key, name, dryRun: dryRunOf(options), subresource, manager };
    const { object } = await change(backend, call, about, (stored, admission) => {
      const known = typed ? resource.schema.keepUnknown(document, stored.document) : document;
      return replacePart(backend, part, stored, structuredClone(known), admission);
    });
    return object;
  });
}

/** Throws NotFound, Conflict, Invalid, BadRequest. */
export async function patchPart(
  backend: Backend,
  call: Call,
  resource: Resource,
  part: ObjectPart,
  request: PatchRequest,
): Promise<StoredObject> {
  const namespace = namespaceOf(resource, request.namespace);
  const name = nameOf(request.name);
  const subresource = part.name;
  const { patch: bytes = Buffer.alloc(0), ...rest } = request;
  const target = { verb: "patch", resource, subresource, namespace, name };
  return run(backend, call, target, [bytes, canonicalJson(rest)], async () => {
    if (bytes.length === 0) throw badRequest("patch is required");
    checkPatchOptions(request);
    const key = objectKey(resource, namespace, name);
    const manager = managerOf(call, request.options);
    const dryRun = dryRunOf(request.options);
    const about = { resource, key, name, dryRun, subresource, manager };
    const { object } = await change(backend, call, about, (stored, admission) => {
      const checked = patchedOf(call, resource, stored, request, bytes);
      checkType(resource, checked);
      return replacePart(backend, part, stored, checked, admission);
    });
    return object;
  });
}

async function replacePart(
  backend: Backend,
  part: ObjectPart,
  stored: StoredObject,
  incoming: Document,
  admission: (document: Document) => AdmissionRequest,
): Promise<Outcome> {
  const { resource } = stored;
  const { uid, resourceVersion } = incoming.metadata ?? {};
  checkPreconditions(resource, stored, { uid, resourceVersion });
  const next = stored.copy();
  part.take(next, incoming);
  resource.setDefaults(next);
  const about = admission(next);
  const { manager = "", subresource } = about;
  const write = { resource, live: stored.document, next, given: undefined, manager, subresource };
  const managedFields = trackedFields(backend, write);
  if (managedFields.length > 0) metadataOf(next).managedFields = managedFields;
  await backend.admission.mutate(about);
  const causes = [
    ...resource.validate(next, stored.document),
    ...part.validate(next, stored.document),
  ];
  if (causes.length > 0) throw invalid(resource, stored.name, causes);
  await backend.admission.validate(about);
  if (sameButForTimes(next, stored.document)) return { action: "keep" };
  if (countsGenerations(resource)) {
    const metadata = metadataOf(next);
    metadata.generation = (stored.document.metadata?.generation ?? 0) + 1;
  }
  return { action: "put", document: next };
}
