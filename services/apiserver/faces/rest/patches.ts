/** Bodies of PATCH requests: which patch it is, and its bytes. */
import type { PatchRequest } from "../../../../proto/gen/meta.ts";
import { PatchType, type Resource } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import { mediaTypeOf, unsupportedMediaType } from "./content.ts";
import { forceOf, writeOptions } from "./query.ts";
import type { RestRequest } from "./types.ts";

const applyYaml = "application/apply-patch+yaml";

const supported = [PatchType.json, PatchType.merge, PatchType.strategicMerge, applyYaml] as const;

/** Throws UnsupportedMediaType, also for patches that need a message's merge keys; BadRequest. */
export function patchOf(request: RestRequest, query: URLSearchParams, resource: Resource) {
  const type = mediaTypeOf(request);
  const options = writeOptions(query);
  const force = forceOf(query);
  if (request.body.length === 0) throw badRequest("the body is empty, a patch is required");
  const taken = supported.filter(
    (each) => each !== PatchType.strategicMerge || resource.schema.message !== undefined,
  );
  if (!taken.some((each) => each === type)) {
    throw unsupportedMediaType(
      "the body of the request was in an unknown format - accepted media types include: " +
        taken.join(", "),
    );
  }
  return {
    patchType: type,
    patch: Buffer.from(request.body),
    options,
    ...force,
  } satisfies PatchRequest;
}
