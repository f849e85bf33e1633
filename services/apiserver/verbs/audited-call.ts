/**
 * The audit log's records of calls over gRPC: they begin when the verb knows what is asked for, and
 * carry the URI of the REST request that asks the same.
 */
import { failure } from "../audit/outcome.ts";
import type { AuditOutcome, AuditRecord } from "../audit/record.ts";
import type { RequestInfo } from "../request-info.ts";
import { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";

/** Undefined: the call has a record, or the log says nothing of it. */
export function beginAudit(
  { audit }: Pick<Backend, "audit">,
  call: Call,
  request: RequestInfo,
  version: string,
): AuditRecord | undefined {
  const { auditSource } = call;
  if (audit === undefined || auditSource === undefined) return undefined;
  call.auditSource = undefined;
  const requestUri = uriOf(request, version);
  call.audit = audit.begin({ ...auditSource, requestUri }, request, version);
  return call.audit;
}

function uriOf(request: RequestInfo, version: string): string {
  const { group, resource, subresource, namespace, name, verb, path } = request;
  if (resource === "") return path;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const place = namespace === "" || resource === "namespaces" ? "" : `/namespaces/${namespace}`;
  const one = named.has(verb) || subresource !== "" ? name : "";
  const parts = [one, subresource].filter((each) => each !== "");
  const shown = parts.map((each) => `/${encodeURIComponent(each)}`).join("");
  return `${root}${place}/${resource}${shown}${verb === "watch" ? "?watch=true" : ""}`;
}

/** Verbs that are about one object. */
const named: ReadonlySet<string> = new Set(["get", "update", "patch", "delete"]);

/** Of a verb's result. */
export function success(code: number, call: Call, result: unknown): AuditOutcome {
  return {
    code: call.created === true ? 201 : code,
    status: statusIn(result),
    document: () => documentOf(result),
  };
}

function statusIn(result: unknown): object | undefined {
  if (typeof result !== "object" || result === null) return undefined;
  const { kind, status } = result as { kind?: unknown; status?: unknown };
  if (kind === "Status") return result;
  return typeof status === "object" && status !== null ? statusIn(status) : undefined;
}

function documentOf(result: unknown): unknown {
  if (result instanceof StoredObject) return JSON.parse(result.json.toString("utf8"));
  if (typeof result !== "object" || result === null) return undefined;
  const { items, metadata, object, status } = result as Record<string, unknown>;
  if (Array.isArray(items)) return { metadata, items: items.map(documentOf) };
  if (object instanceof StoredObject) return documentOf(object);
  return statusIn(status) ?? result;
}

/** The items of a stream; when it ends, so does the call's record. */
export async function* audited<T>(call: Call, items: AsyncIterable<T>): AsyncGenerator<T, void> {
  try {
    for await (const item of items) {
      call.audit?.responseStarted(200);
      yield item;
    }
  } catch (thrown) {
    call.audit?.complete(failure(thrown));
    throw thrown;
  } finally {
    call.audit?.complete({ code: 200 });
  }
}
