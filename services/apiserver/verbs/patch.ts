import type { PatchRequest } from "../../../proto/gen/meta.ts";
import { applyPatch, type Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { applied, checkPatchOptions, isApply } from "./apply.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change } from "./change.ts";
import { checkDocument, checkType, dryRunOf } from "./documents.ts";
import { managerOf } from "./managed-fields.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { checkSubresource, replace, type Subresource, writesStatus } from "./update.ts";
import { warnOfFields } from "./warnings.ts";

/**
 * Applies a patch to the object as it is; when it has changed by the time of writing, applies it
 * again to what it has become.
 */
export async function patch(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: PatchRequest,
): Promise<StoredObject> {
  const namespace = namespaceOf(resource, request.namespace);
  const name = nameOf(request.name);
  const subresource = subresourceOf(resource, request.subresource);
  const { patch: bytes = Buffer.alloc(0), ...rest } = request;
  const target = { verb: "patch", resource, subresource, namespace, name };
  return run(backend, call, target, [bytes, JSON.stringify(rest)], async () => {
    checkSubresource(resource, subresource);
    if (bytes.length === 0) throw badRequest("patch is required");
    checkPatchOptions(request);
    if (isApply(request.patchType)) return applied(backend, call, target, request);
    const key = objectKey(resource, namespace, name);
    const dryRun = dryRunOf(request.options);
    const manager = managerOf(call, request.options);
    const about = { resource, key, name, dryRun, subresource, manager };
    const { object } = await change(backend, call, about, async (stored, admission) => {
      const patched = applyPatch(resource, request.patchType ?? "", stored.copy(), bytes);
      const tolerated = new Set(resource.schema.check(stored.document, "warn").unknown);
      const checked = checkDocument(call, resource, patched, request.options, { tolerated });
      const next = resource.schema.keepUnknown(checked, stored.document);
      checkType(resource, next);
      if (subresource === "") warnOfFields(call, resource, next, request.options);
      return replace(backend, stored, admission(next));
    });
    return object;
  });
}

function subresourceOf(resource: Resource, text: string | undefined): Subresource {
  if (text === undefined || text === "") return "";
  if (writesStatus(resource, text)) return text;
  throw badRequest(`subresource "${text}" cannot be patched, only "status" can`);
}
