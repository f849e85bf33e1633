import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Kind } from "../../kinds/mod.ts";
import { authorize } from "../auth/authorize.ts";
import { badRequest } from "../errors.ts";
import { checkKeyPart } from "../storage/keys.ts";
import type { Backend } from "./backend.ts";
import { type Call, retryTrailer } from "./call.ts";

export interface Target {
  readonly verb: string;
  readonly kind: Kind;
  readonly subresource?: string;
  readonly namespace: string;
  readonly name?: string;
  readonly fieldSelector?: string | undefined;
}

const readVerbs = new Set(["get", "list", "watch"]);

/** Throws Forbidden. */
export function allow(backend: Backend, call: Call, target: Target): void {
  authorize(backend.authorizers, {
    user: call.user,
    verb: target.verb,
    kind: target.kind,
    subresource: target.subresource ?? "",
    namespace: target.namespace,
    name: target.name ?? "",
    fieldSelector: target.fieldSelector ?? "",
  });
}

/** The frame around every unary verb: authorize, admit to the gate, run, and tell safe failures. */
export async function run<T>(
  backend: Backend,
  call: Call,
  target: Target,
  body: () => Promise<T>,
): Promise<T> {
  allow(backend, call, target);
  const write = !readVerbs.has(target.verb);
  backend.gate.enter(write);
  try {
    return await body();
  } catch (thrown) {
    markSafe(call, thrown);
    throw thrown;
  } finally {
    backend.gate.leave(write);
  }
}

/** A request that was not even proposed may be repeated elsewhere, whatever it was. */
export function markSafe(call: Call, thrown: unknown): void {
  if (!(thrown instanceof StatusError) || thrown.code !== Code.unavailable) return;
  if (!call.proposed) call.setTrailer(retryTrailer.key, retryTrailer.value);
}

/** The namespace of a request, from its own field and the object's. Throws BadRequest. */
export function namespaceOf(kind: Kind, ...given: readonly (string | undefined)[]): string {
  const named = [...new Set(given.filter((each) => each !== undefined && each !== ""))];
  if (!kind.namespaced) return "";
  const [first, second] = named;
  if (second !== undefined) {
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request ` +
        `(${first}, ${second})`,
    );
  }
  if (first === undefined) throw badRequest("an empty namespace may not be set on this request");
  return checkKeyPart("namespace", first);
}

export function nameOf(name: string | undefined): string {
  if (name === undefined || name === "") throw badRequest("name is required");
  return checkKeyPart("name", name);
}
