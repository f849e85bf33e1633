import { httpCodeOf } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { inSpan, type Span } from "../../../ha/runtime/trace.ts";
import type { Resource } from "../../kinds/mod.ts";
import { failure } from "../audit/outcome.ts";
import type { AuditRecord } from "../audit/record.ts";
import { authorize } from "../auth/authorize.ts";
import { badRequest, methodNotAllowed } from "../errors.ts";
import type { RequestInfo } from "../request-info.ts";
import { checkKeyPart } from "../storage/keys.ts";
import { onBehalfOf } from "../storage/present-request.ts";
import { beginAudit, success } from "./audited-call.ts";
import type { Backend } from "./backend.ts";
import { type Call, digestOf, retryTrailer } from "./call.ts";
import { endSpan, requestSpan } from "./request-span.ts";

/** What a verb is about; with the call's user it is the request's `RequestInfo`. */
export interface Target {
  readonly verb: string;
  readonly resource: Resource;
  readonly subresource?: string;
  readonly namespace: string;
  readonly name?: string;
  readonly fieldSelector?: string | undefined;
  /** How many seats of flow control it takes; one by default. */
  readonly seats?: () => number;
  /** Takes over what gives the seats back, when the verb succeeds. */
  readonly keep?: (leave: () => void) => void;
}

const readVerbs = new Set(["get", "list", "watch"]);

function requestInfo(call: Call, target: Target): RequestInfo {
  return {
    user: call.user,
    verb: target.verb,
    group: target.resource.group,
    resource: target.resource.plural,
    subresource: target.subresource ?? "",
    namespace: target.namespace,
    name: target.name ?? selectedName(target.fieldSelector),
    fieldSelector: target.fieldSelector ?? "",
    path: "",
  };
}

/** A collection of which one object is selected is about that object, as upstream has it. */
function selectedName(fieldSelector: string | undefined): string {
  if (fieldSelector === undefined) return "";
  return /(?:^|,)metadata\.name==?([^,=!]+)(?:,|$)/.exec(fieldSelector)?.[1] ?? "";
}

/** Throws Forbidden, MethodNotAllowed. */
export function allow(backend: Backend, call: Call, target: Target): void {
  const request = requestInfo(call, target);
  // A watch ends its span itself; the others that come by here have none.
  if (backend.tracer !== undefined && target.verb === "watch") {
    requestSpan(backend.tracer, call, request, target.resource.version);
  }
  beginAudit(backend, call, request, target.resource.version);
  authorize(backend.authorizers, request, call.audit);
  checkVerb(target);
  warnOfDeprecation(call, target.resource);
  // As upstream, of the requests that last, only watches belong to a flow.
  if (target.verb === "watch") backend.flowControl.classify(request, call);
}

function warnOfDeprecation(call: Call, { deprecationWarning }: Resource): void {
  if (deprecationWarning !== undefined) call.warnings.push(deprecationWarning);
}

/** Subresources have verbs of their own. */
function checkVerb({ resource, verb, subresource = "" }: Target): void {
  const refusal = resource.refusal?.(verb);
  if (refusal !== undefined) throw methodNotAllowed(refusal);
  if (subresource !== "" || resource.verbs.includes(verb)) return;
  throw methodNotAllowed("the server does not allow this method on the requested resource");
}

/**
 * The frame around every unary verb: flow control, authorization, then the verb itself, which may
 * decode the request's body only then. Tells the caller which failures certainly changed nothing.
 * `content`: what, besides the target, makes this request the one it is.
 */
export async function run<T>(
  backend: Backend,
  call: Call,
  target: Target,
  content: readonly (string | Uint8Array)[],
  body: () => Promise<T>,
): Promise<T> {
  const request = requestInfo(call, target);
  const { resource, verb, namespace } = target;
  const meter = backend.requests.of(resource, verb, target.subresource ?? "", namespace);
  const record = beginAudit(backend, call, request, resource.version);
  const span = backend.tracer && requestSpan(backend.tracer, call, request, resource.version);
  const began = performance.now();
  let code = verb === "create" ? 201 : 200;
  meter.begin();
  try {
    if (record !== undefined) noteRequest(record, target, content);
    const entering = backend.flowControl.enter(request, call, target.seats);
    const leave = await admitted(entering, span);
    let kept = false;
    try {
      prepare(backend, call, target, request, content);
      const converted = resource.storedAs?.remote !== undefined;
      const result = await (converted ? onBehalfOf(call, body) : body());
      if (record !== undefined) record.complete(success(code, call, result));
      kept = target.keep !== undefined;
      target.keep?.(leave);
      return result;
    } finally {
      if (!kept) leave();
    }
  } catch (thrown) {
    markSafe(call, thrown);
    code = httpCodeOf(StatusError.from(thrown));
    record?.complete(failure(thrown));
    throw thrown;
  } finally {
    meter.end(performance.now() - began, code);
    if (span !== undefined) endSpan(call, code);
  }
}

type Seat = ReturnType<Backend["flowControl"]["enter"]>;

/** The wait for a seat is a span of its own, if there is one. */
function admitted(seat: Seat, span: Span | undefined): Seat {
  if (span === undefined || typeof seat === "function") return seat;
  return inSpan({ span }, "flow control wait", () => seat);
}

/** What comes before a verb's own work. Throws Forbidden, MethodNotAllowed. */
function prepare(
  backend: Backend,
  call: Call,
  target: Target,
  request: RequestInfo,
  content: readonly (string | Uint8Array)[],
): void {
  authorize(backend.authorizers, request, call.audit);
  checkVerb(target);
  warnOfDeprecation(call, target.resource);
  if (readVerbs.has(target.verb) || call.requestId === undefined) return;
  const { user, verb, group, resource, subresource, namespace, name } = request;
  const head = [user.name, verb, group, resource, subresource, namespace, name];
  call.digest = digestOf([...head, ...content]);
}

/** What a patch or a deletion carries; the object of another write is noted as it is decoded. */
function noteRequest(
  record: AuditRecord,
  { verb }: Target,
  [first]: readonly (string | Uint8Array)[],
): void {
  if (first === undefined || !wholeBodies.has(verb)) return;
  record.requestObject(() => {
    try {
      return JSON.parse(typeof first === "string" ? first : Buffer.from(first).toString("utf8"));
    } catch {
      // An apply may be YAML, and what is neither is refused by the verb itself.
      return undefined;
    }
  });
}

const wholeBodies: ReadonlySet<string> = new Set(["patch", "delete", "deletecollection"]);

/** A request that was not even proposed may be repeated elsewhere, whatever it was. */
export function markSafe(call: Call, thrown: unknown): void {
  if (!(thrown instanceof StatusError) || thrown.code !== Code.unavailable) return;
  if (!call.proposed) call.setTrailer(retryTrailer.key, retryTrailer.value);
}

/** The namespace of a request, from its own field and the object's. Throws BadRequest. */
export function namespaceOf(resource: Resource, ...given: readonly (string | undefined)[]): string {
  const named = [...new Set(given.filter((each) => each !== undefined && each !== ""))];
  if (!resource.namespaced) return "";
  const [first, second] = named;
  if (second !== undefined) {
    throw badRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  if (first === undefined) throw badRequest("an empty namespace may not be set on this request");
  return checkKeyPart("namespace", first);
}

export function nameOf(name: string | undefined): string {
  if (name === undefined || name === "") throw badRequest("name is required");
  return checkKeyPart("name", name);
}
