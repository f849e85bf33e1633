/** Many bindings in one request: a scheduler of large clusters makes hundreds a second. */
import { reasonOf, toStatusDocument } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { BindingBatch, BindingOutcomes } from "../../../proto/gen/core.ts";
import type { Status } from "../../../proto/gen/meta.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { markSafe } from "./pipeline.ts";
import { bind } from "./pods.ts";

/**
 * Each binding is authorized, admitted, audited, counted and written as if it came alone, under the
 * request's id and its place in the batch. Throws Unavailable when the store did not answer for one
 * of them: the whole batch may then be repeated, and what was done is not done again.
 */
export async function bindAll(
  backend: Backend,
  call: Call,
  pods: Resource,
  { items = [] }: BindingBatch,
): Promise<BindingOutcomes> {
  if (items.length > limits.bindings) {
    throw badRequest(`items: ${items.length} bindings, at most ${limits.bindings} are taken`);
  }
  const { signal } = call;
  const parts = items.map((_, index) => partOf(call, signal, index));
  const outcomes: Status[] = [];
  let lost: StatusError | undefined;
  const waiting = items.entries();
  const worker = async () => {
    for (const [index, binding] of waiting) {
      const part = parts[index] ?? call;
      try {
        outcomes[index] = await bind(backend, part, pods, binding);
      } catch (thrown) {
        const error = StatusError.from(thrown);
        if (error.code === Code.unavailable) lost ??= error;
        outcomes[index] = { ...toStatusDocument(error), reason: reasonOf(error) };
      }
    }
  };
  const workers = Math.min(limits.bindingsParallel, items.length);
  await Promise.all(Array.from({ length: workers }, worker));
  if (lost === undefined) return { items: outcomes };
  call.proposed = parts.some(({ proposed }) => proposed);
  markSafe(call, lost);
  throw lost;
}

/** `signal`: of all parts, made once. */
function partOf(call: Call, signal: AbortSignal | undefined, index: number): Call {
  const { user, attempt, fence, userAgent, source, auditSource } = call;
  return {
    ...{ user, signal, attempt, fence, userAgent, source, auditSource },
    requestId: call.requestId && `${call.requestId}/${index}`,
    warnings: [],
    digest: undefined,
    proposed: false,
    setTrailer: () => {},
    streamBegun: () => {},
  };
}
