/** The span of a request at the apiserver. */
import { type Span, SpanKind, type Tracer, traceparentHeader } from "../../../ha/runtime/trace.ts";
import type { RequestInfo } from "../request-info.ts";
import type { Call } from "./call.ts";

/** Undefined: the call is not traced, or has its span already. */
export function requestSpan(
  tracer: Tracer,
  call: Call,
  request: RequestInfo,
  version: string,
): Span | undefined {
  if (call.span !== undefined || call.source === undefined) return undefined;
  const name = `apiserver ${request.verb} ${request.resource}`;
  const span = tracer.request(name, call.source.header(traceparentHeader), SpanKind.server);
  if (span === undefined) return undefined;
  span.set("k8s.verb", request.verb);
  span.set("k8s.group", request.group);
  span.set("k8s.version", version);
  span.set("k8s.resource", request.resource);
  span.set("k8s.subresource", request.subresource || undefined);
  span.set("k8s.namespace.name", request.namespace || undefined);
  span.set("k8s.name", request.name || undefined);
  span.set("enduser.id", request.user.name);
  span.set("user_agent.original", call.userAgent);
  span.set("trireme.request_id", call.requestId);
  if (call.attempt > 1) span.set("trireme.attempt", call.attempt);
  call.span = span;
  return span;
}

/** `code`: an HTTP status. */
export function endSpan(call: Call, code: number): void {
  const { span } = call;
  call.span = undefined;
  span?.set("http.response.status_code", code);
  // A refusal of what the client asks for is no failure of the server (OpenTelemetry, HTTP spans).
  span?.end(code >= 500 ? `the answer has the status ${code}` : undefined);
}
