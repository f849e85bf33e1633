/** Bodies of PATCH requests: which patch it is, and its bytes. */
import type { PatchRequest } from "../../../../proto/gen/meta.ts";
import { PatchType } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import { mediaTypeOf, unsupportedMediaType } from "./content.ts";
import { forceOf, writeOptions } from "./query.ts";
import type { RestRequest } from "./types.ts";

const applyYaml = "application/apply-patch+yaml";

const supported = [PatchType.json, PatchType.merge, PatchType.strategicMerge, applyYaml] as const;

/** Throws UnsupportedMediaType, BadRequest. */
export function patchOf(request: RestRequest, query: URLSearchParams) {
  const type = mediaTypeOf(request);
  const options = writeOptions(query);
  const force = forceOf(query);
  if (request.body.length === 0) throw badRequest("the body is empty, a patch is required");
  if (!supported.some((each) => each === type)) {
    throw unsupportedMediaType(
      "the body of the request was in an unknown format - accepted media types include: " +
        `${supported.join(", ")}; it was ${JSON.stringify(type)}`,
    );
  }
  return {
    patchType: type,
    patch: Buffer.from(request.body),
    options,
    ...force,
  } satisfies PatchRequest;
}
