/** The span of a call to etcd's API, below which a write has that of its member. */
import type { CallContext } from "../rpc/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { type Span, SpanKind, type Tracer, traceparentHeader } from "../runtime/trace.ts";

/** What a server has to answer for (OpenTelemetry's conventions for spans of gRPC). */
const faults: ReadonlySet<Code> = new Set([
  Code.unknown,
  Code.deadlineExceeded,
  Code.unimplemented,
  Code.internal,
  Code.unavailable,
  Code.dataLoss,
]);

/** For a call that is not traced, only the work is done. */
export function inCallSpan<T>(
  tracer: Tracer,
  context: CallContext,
  work: (span: Span | undefined) => T | Promise<T>,
): T | Promise<T> {
  const name = `etcd ${context.path.slice(context.path.lastIndexOf("/") + 1)}`;
  const span = tracer.request(name, context.header(traceparentHeader), SpanKind.server);
  return span === undefined ? work(undefined) : spanned(span, context.path, work);
}

async function spanned<T>(
  span: Span,
  path: string,
  work: (span: Span) => T | Promise<T>,
): Promise<T> {
  span.set("rpc.system", "grpc");
  span.set("url.path", path);
  let code: Code = Code.ok;
  let error: string | undefined;
  try {
    return await work(span);
  } catch (thrown) {
    const status = StatusError.from(thrown);
    code = status.code;
    error = faults.has(code) ? status.message : undefined;
    throw thrown;
  } finally {
    span.set("rpc.grpc.status_code", code);
    span.end(error);
  }
}
