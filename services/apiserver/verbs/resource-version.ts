import type { Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import type { Backend } from "./backend.ts";

/** A resourceVersion as a number; undefined for "" and absent. Throws BadRequest. */
export function parseResourceVersion(text: string | undefined, field: string): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    const why = `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`;
    throw badRequest(`${field}: Invalid value: ${JSON.stringify(text)}: ${why}`);
  }
  return Number(text);
}

/**
 * Waits until the cache is as new as a read demands: everything acknowledged so far (undefined),
 * anything at all (0), or at least `version`.
 */
export async function waitForCache(
  backend: Backend,
  resource: Resource,
  version: number | undefined,
): Promise<void> {
  const opening = backend.cache.opening(resource);
  if (opening !== undefined) await opening;
  if (version === 0 && backend.cache.filled) return;
  const revision = version ?? (await backend.store.readRevision());
  await backend.cache.waitFor(revision);
}
