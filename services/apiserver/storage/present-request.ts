/**
 * The request on whose behalf code runs that is not handed its call: objects are converted wherever
 * they are read. Only requests for kinds that a webhook converts are noted, so others pay nothing.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Traced } from "../../../ha/runtime/trace.ts";

const requests = new AsyncLocalStorage<Traced>();

export function onBehalfOf<T>(request: Traced, work: () => T): T {
  return requests.run(request, work);
}

/** Undefined: there is none, or it was not noted. */
export function presentRequest(): Traced | undefined {
  return requests.getStore();
}
