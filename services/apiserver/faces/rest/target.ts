/**
 * What a request's path is about, by the rules of upstream's `RequestInfoFactory`
 * (apiserver `pkg/endpoints/request/requestinfo.go`).
 */
import { badRequest, methodNotAllowed } from "../../errors.ts";

/** A path below `/api/<version>` or `/apis/<group>/<version>`. */
export interface ResourceTarget {
  readonly kind: "resource";
  /** get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  /** "": all namespaces, or a resource that has none. */
  readonly namespace: string;
  /** "": the collection. */
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, e.g. the path of a proxied request; without a leading slash. */
  readonly rest: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

interface PathTarget {
  readonly kind: "path";
  /** The HTTP method in lower case, as upstream authorizes it. */
  readonly verb: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

export type Target = ResourceTarget | PathTarget;

const targetLengthMax = 16 * 1024;
const noQuery = new URLSearchParams();

/** Throws BadRequest for a target that is no path, MethodNotAllowed for an unknown method. */
export function parseTarget(method: string, target: string): Target {
  if (target.length > targetLengthMax) {
    throw badRequest(`the request's target is longer than ${targetLengthMax} characters`);
  }
  const mark = target.indexOf("?");
  const path = decoded(mark < 0 ? target : target.slice(0, mark));
  const query = mark < 0 ? noQuery : new URLSearchParams(target.slice(mark + 1));
  const parts = path.split("/").filter((part) => part !== "");
  return resourceTarget(method, path, parts, query) ?? pathTarget(method, path, query);
}

function decoded(path: string): string {
  if (!path.startsWith("/")) throw badRequest("the request's target is no absolute path");
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    throw badRequest(`the path ${JSON.stringify(path)} is not percent-encoded UTF-8`);
  }
}

function pathTarget(method: string, path: string, query: URLSearchParams): PathTarget {
  return { kind: "path", verb: method.toLowerCase(), path, query };
}

/** The parts of a namespace that are no resources within it. */
const namespaceSubresources = new Set(["status", "finalize"]);

function resourceTarget(
  method: string,
  path: string,
  parts: readonly string[],
  query: URLSearchParams,
): ResourceTarget | undefined {
  const [prefix, ...after] = parts;
  if (prefix !== "api" && prefix !== "apis") return undefined;
  const group = prefix === "api" ? "" : (after.shift() ?? "");
  const version = after.shift() ?? "";
  let watching = false;
  if (after[0] === "watch" && after.length > 1) {
    watching = true;
    after.shift();
  }
  if (after.length === 0) return undefined;
  let namespace = "";
  if (after[0] === "namespaces" && after[1] !== undefined) {
    namespace = after[1];
    if (after[2] !== undefined && !namespaceSubresources.has(after[2])) after.splice(0, 2);
  }
  const [plural = "", name = "", subresource = "", ...rest] = after;
  const verb = verbOf(method, name, watching || isWatch(query));
  return {
    kind: "resource",
    verb,
    group,
    version,
    plural,
    namespace,
    name,
    subresource,
    rest: restOf(path, subresource, rest),
    path,
    query,
  };
}

/** A trailing slash of a proxied path is part of it. */
function restOf(path: string, subresource: string, rest: readonly string[]): string {
  if (subresource === "") return "";
  const text = rest.join("/");
  return path.endsWith("/") && text !== "" ? `${text}/` : text;
}

function verbOf(method: string, name: string, watching: boolean): string {
  switch (method) {
    case "GET":
    case "HEAD":
      if (watching && method === "GET") return "watch";
      return name === "" ? "list" : "get";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === "" ? "deletecollection" : "delete";
    default:
      throw methodNotAllowed("the server does not allow this method on the requested resource");
  }
}

function isWatch(query: URLSearchParams): boolean {
  return flagOf(query, "watch") ?? false;
}

/** As upstream converts parameters: everything but "false" and "0" is true. */
export function flagOf(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  return text !== "0" && text.toLowerCase() !== "false";
}
