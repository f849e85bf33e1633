/** Requests about resources: each goes to its verb, and the result into the form wanted. */
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { apiVersionOf, type Resource } from "../../../kinds/mod.ts";
import { authorize } from "../../auth/authorize.ts";
import { badRequest, methodNotAllowed } from "../../errors.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import {
  type Call,
  create,
  get,
  type ListPage,
  list,
  patch,
  removeObject,
  removeSelected,
  update,
  watch,
} from "../../verbs/mod.ts";
import type { Face } from "../grpc/face.ts";
import { type SubresourceRequest, subresourceOf } from "../subresources/table.ts";
import { documentResponse, notFoundResponse, streamResponse } from "./answers.ts";
import { contentOf, mediaTypeOf, RestBody } from "./content.ts";
import { documentBytes, type Form, listBody, objectBytes } from "./lists.ts";
import { negotiate, notAcceptable } from "./negotiate.ts";
import { opened } from "./opened.ts";
import { patchOf } from "./patches.ts";
import { deleteOptions, listOptions, watchOptions, writeOptions } from "./query.ts";
import { includeObjectOf } from "./table.ts";
import type { ResourceTarget } from "./target.ts";
import { isStream, type RestRequest, type RestResponse } from "./types.ts";
import { frames } from "./watch-frames.ts";

/** One request, with all that its verb needs. */
interface Exchange {
  readonly face: Face;
  readonly call: Call;
  /** `begun` resolves when the call says that its stream has begun. */
  readonly source: { readonly begun: Promise<void> };
  readonly request: RestRequest;
  readonly target: ResourceTarget;
  readonly resource: Resource;
}

/** Throws StatusError. */
export async function answerResource(about: Omit<Exchange, "resource">): Promise<RestResponse> {
  const { face, target } = about;
  const { group, version, plural } = target;
  const apiVersion = apiVersionOf({ group, version });
  const { backend } = face;
  let resource = backend.registry.byPlural(apiVersion, plural);
  if (resource === undefined) {
    allowUnserved(about);
    await backend.catchUp();
    resource = backend.registry.byPlural(apiVersion, plural);
  }
  if (resource === undefined || !isPlaced(resource, target)) {
    allowUnserved(about);
    return nowhere(about);
  }
  const exchange = { ...about, resource };
  if (target.subresource !== "") return answerSubresource(exchange);
  const answer = verbs[target.verb];
  if (answer === undefined) throw notServed();
  return answer(exchange);
}

/** Whether the resource has such paths at all: within a namespace, or outside of one. */
function isPlaced(resource: Resource, { namespace, name, subresource, plural }: ResourceTarget) {
  // The path of a namespace itself names a namespace, too.
  if (!resource.namespaced) return namespace === "" || plural === "namespaces";
  return namespace !== "" || (name === "" && subresource === "");
}

/**
 * Upstream answers for the groups of its own kinds with a Status, and for all other paths, those of
 * custom resources among them, with a text.
 */
function nowhere({ face, target }: Pick<Exchange, "face" | "target">): RestResponse {
  const { group, version } = target;
  const own = [...face.backend.registry].some(
    (each) => each.group === group && each.schema.message !== undefined,
  );
  if (!own || (group === "" && version !== "v1")) return notFoundResponse();
  throw new StatusError(Code.notFound, "the server could not find the requested resource", {
    reason: "NotFound",
  });
}

/** Only who might use a resource is told that it is not there. Throws Forbidden. */
function allowUnserved({ face, call, target }: Pick<Exchange, "face" | "call" | "target">): void {
  const { verb, group, plural, subresource, namespace, name, query } = target;
  const fieldSelector = query.get("fieldSelector") ?? "";
  const about = { verb, group, resource: plural, subresource, namespace, name };
  authorize(face.backend.authorizers, { user: call.user, ...about, fieldSelector, path: "" });
}

function notServed() {
  return methodNotAllowed("the server does not allow this method on the requested resource");
}

const verbs: Readonly<Record<string, (exchange: Exchange) => Promise<RestResponse>>> = {
  get: async (exchange) => {
    const { face, call, target, resource } = exchange;
    const { name, namespace, query } = target;
    const form = formOf(exchange);
    const request = { name, namespace, resourceVersion: query.get("resourceVersion") ?? "" };
    return objectResponse(await get(face.backend, call, resource, request), form);
  },
  list: async (exchange) => {
    const { face, call, target, resource } = exchange;
    const { namespace, query } = target;
    const form = formOf(exchange);
    const page = await list(face.backend, call, resource, listOptions(query, namespace));
    return listResponse(resource, page, form);
  },
  watch: async (exchange) => {
    const { face, call, source, target, resource } = exchange;
    const { namespace, name, query } = target;
    const form = formOf(exchange);
    if (form.accepted.format !== "json") throw notAcceptable();
    const request = watchOptions(query, namespace, name);
    const items = await opened(watch(face.backend, call, resource, request), source.begun);
    return streamResponse("application/json", frames(items, form));
  },
  create: async (exchange) => {
    const { face, call, request, target, resource } = exchange;
    const { namespace, name, query } = target;
    if (name !== "" || (resource.namespaced && namespace === "")) throw notServed();
    const form = formOf(exchange);
    const body = new RestBody(request, resource, target);
    const write = { body, namespace, options: writeOptions(query) };
    const object = await create(face.backend, call, resource, write);
    if (resource.answersStatus) return respond(statusCreated, form, 201);
    return objectResponse(object, form, 201);
  },
  update: async (exchange) => {
    const { face, call, request, target, resource } = exchange;
    const { namespace, name, query } = target;
    if (name === "") throw notServed();
    const form = formOf(exchange);
    const body = new RestBody(request, resource, target);
    const options = writeOptions(query);
    const write = { body, namespace, options, subresource: "", typed: false } as const;
    const object = await update(face.backend, call, resource, write);
    return objectResponse(object, form, call.created ? 201 : 200);
  },
  patch: async (exchange) => {
    const { face, call, request, target, resource } = exchange;
    const { namespace, name } = target;
    if (name === "") throw notServed();
    const form = formOf(exchange);
    const change = { name, namespace, ...patchOf(request, target.query, resource) };
    const object = await patch(face.backend, call, resource, change);
    return objectResponse(object, form, call.created ? 201 : 200);
  },
  delete: async (exchange) => {
    const { face, call, request, target, resource } = exchange;
    const { namespace, name, query } = target;
    const form = formOf(exchange);
    const options = deleteOptions(query, contentOf(request)?.value, call.warnings);
    const about = { name, namespace, ...options };
    const { status, object } = await removeObject(face.backend, call, resource, about);
    if (object !== undefined) return objectResponse(object, form);
    return respond(Buffer.from(JSON.stringify(status)), form);
  },
  deletecollection: async (exchange) => {
    const { face, call, request, target, resource } = exchange;
    const { namespace, query } = target;
    if (resource.namespaced && namespace === "") throw notServed();
    const form = formOf(exchange);
    const { preconditions, ...options } = deleteOptions(
      query,
      contentOf(request)?.value,
      call.warnings,
    );
    if (preconditions !== undefined) {
      throw badRequest("DeleteOptions: preconditions are of one object, not of a collection");
    }
    const about = { selection: listOptions(query, namespace), ...options };
    return listResponse(resource, await removeSelected(face.backend, call, resource, about), form);
  },
};

const statusCreated = Buffer.from(
  JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }),
);

function formOf({ request, target, face }: Exchange): Form {
  return {
    accepted: negotiate(acceptOf(request)),
    include: includeObjectOf(target.query.get("includeObject")),
    now: face.backend.now(),
    pretty: isPretty(request, target.query),
  };
}

function acceptOf(request: RestRequest): string | undefined {
  const values = request.headers("accept");
  return values.length <= 1 ? values[0] : values.join(",");
}

function objectResponse(object: StoredObject, form: Form, status = 200) {
  return respond(objectBytes(object, form), form, status);
}

function listResponse(resource: Resource, page: ListPage, form: Form): RestResponse {
  const body = listBody(resource, page, form);
  const type = form.accepted.format === "yaml" ? "application/yaml" : "application/json";
  return { ...streamResponse(type, body), ...(isStream(body) && { isDocument: true }) };
}

function respond(json: Uint8Array, { accepted, pretty }: Form, status = 200) {
  return documentResponse(json, accepted, status, pretty);
}

/** As upstream, which writes legibly for people's programs unless told otherwise. */
function isPretty(request: RestRequest, query: URLSearchParams): boolean {
  const asked = query.get("pretty");
  if (asked !== null && asked !== "") return /^(1|t|true)$/i.test(asked);
  return /^(curl|Wget|Mozilla\/5\.0)/.test(request.header("user-agent") ?? "");
}

async function answerSubresource(exchange: Exchange): Promise<RestResponse> {
  const { face, call, source, request, target, resource } = exchange;
  const row = subresourceOf(resource, target.subresource);
  if (row === undefined) {
    allowUnserved(exchange);
    return nowhere(exchange);
  }
  const verb = target.verb as keyof typeof row.verbs;
  const handler = Object.hasOwn(row.verbs, verb) ? row.verbs[verb] : undefined;
  if (handler === undefined) {
    allowUnserved(exchange);
    throw notServed();
  }
  const { namespace, name, subresource, rest, query } = target;
  const isPatch = verb === "patch";
  const patched = isPatch ? patchOf(request, query, resource) : undefined;
  const asked: SubresourceRequest = {
    ...{ resource, subresource, verb, namespace, name, rest, query },
    options: patched?.options ?? writeOptions(query),
    contentType: patched?.patchType ?? mediaTypeOf(request),
    body: new RestBody(request, resource, target),
    content: () => contentOf(request)?.value,
    headers: (header) => request.headers(header),
  };
  const answer = await handler(face, call, asked);
  if ("body" in answer) {
    const { body } = answer;
    return isStream(body) ? { ...answer, body: await opened(body, source.begun) } : answer;
  }
  const form = formOf(exchange);
  const { status = 200 } = answer;
  if ("object" in answer) return objectResponse(answer.object, form, status);
  return respond(documentBytes(answer.document, answer.columns, form), form, status);
}
