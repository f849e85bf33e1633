import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { systemNamespaces } from "./admission/namespace-lifecycle.ts";
import { limits } from "./limits.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { pause } from "./storage/watch-cache.ts";
import { type Backend, create, documentBody, internalCall } from "./verbs/mod.ts";

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
    await pause(backend.clock, delay, signal);
    delay = Math.min(delay * 2, limits.retryMaxMillis);
  }
}

async function createNamespace(backend: Backend, name: string): Promise<void> {
  const namespaces = backend.registry.required("v1", "Namespace");
  if (backend.cache.of(namespaces).get(objectKey(namespaces, "", name)) !== undefined) return;
  try {
    const body = documentBody({ metadata: { name } });
    await create(backend, internalCall(apiserverUser), namespaces, { body });
  } catch (thrown) {
    // Another master was faster.
    if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
  }
}
