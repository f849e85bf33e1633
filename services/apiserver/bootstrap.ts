import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { kindOf } from "../kinds/mod.ts";
import { systemNamespaces } from "./admission/namespace-lifecycle.ts";
import { limits } from "./limits.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { pause } from "./storage/watch-cache.ts";
import { type Backend, create, internalCall } from "./verbs/mod.ts";

/**
 * Creates what every cluster has. Any master may do it, several at once, again at every start: what
 * exists already is left alone. Tries until the store can be written or the signal aborts.
 */
export async function bootstrap(backend: Backend, signal: AbortSignal): Promise<void> {
  let delay: number = limits.retryMinMillis;
  while (!signal.aborted) {
    try {
      for (const name of systemNamespaces) await createNamespace(backend, name);
      return;
    } catch (thrown) {
      const error = StatusError.from(thrown);
      backend.log.warn("the system namespaces could not be created yet", { error: error.message });
    }
    await pause(delay, signal);
    delay = Math.min(delay * 2, limits.retryMaxMillis);
  }
}

async function createNamespace(backend: Backend, name: string): Promise<void> {
  const kind = kindOf("v1", "Namespace");
  if (kind === undefined) throw new StatusError(Code.internal, "there is no kind Namespace");
  if (backend.cache.of(kind).get(objectKey(kind, "", name)) !== undefined) return;
  try {
    await create(backend, internalCall(apiserverUser), kind, { document: { metadata: { name } } });
  } catch (thrown) {
    // Another master was faster.
    if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
  }
}
