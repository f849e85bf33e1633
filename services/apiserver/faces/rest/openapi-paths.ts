/** `/openapi/v3` and `/openapi/v2`, with entity tags: clients keep what has not changed. */
import type { OpenApi, ServedDocument } from "../../openapi/mod.ts";
import { notFoundResponse } from "./answers.ts";
import type { PathTable, PlainRequest } from "./paths.ts";
import type { RestResponse } from "./types.ts";

const root = "/openapi/v3";
const json = "application/json";
/** Of the form that client-go asks for, with an `@` that no type may have in an answer. */
const swaggerMessageType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

export function addOpenApiPaths(table: PathTable, api: OpenApi): void {
  table.add(root, (request) => answer(request, api.index(), json));
  table.add(`${root}/`, (request) => {
    const document = api.document(request.path.slice(root.length + 1));
    if (document === undefined) return notFoundResponse();
    const named = request.query.get("hash") === document.hash;
    return answer(request, document, json, named ? forGood : undefined);
  });
  table.add("/openapi/v2", (request) => {
    const asMessage = request.headers("accept").some((value) => value.includes("+protobuf"));
    return asMessage
      ? answer(request, api.swaggerMessage(), swaggerMessageType)
      : answer(request, api.swagger(), json);
  });
}

/** For an address that names its content. */
const forGood = "public, immutable";

function answer(
  request: PlainRequest,
  { bytes, hash }: ServedDocument,
  contentType: string,
  caching = "no-cache, private",
): RestResponse {
  const etag = `"${hash}"`;
  const headers = [
    ["etag", etag],
    ["vary", "Accept"],
    ["cache-control", caching],
  ] as const;
  const known = request.headers("if-none-match").flatMap((value) => value.split(/\s*,\s*/));
  if (known.includes(etag)) return { status: 304, headers, body: Buffer.alloc(0) };
  return { status: 200, headers: [["content-type", contentType], ...headers], body: bytes };
}
