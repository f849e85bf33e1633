/** Empties a namespace of every kind that discovery names. */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { DiscoveredResource } from "../../../proto/gen/dynamic.ts";
import { apiVersionOf, isNotFound, type JsonObject } from "../../client/mod.ts";
import { inParallel } from "../batches.ts";
import type { ControllerContext } from "../types.ts";
import type { Findings } from "./conditions.ts";

const pageItems = 500;
const deletionsParallel = 8;

/** While a pod runs, what it stands on stays, its network policies among it. */
const firstKind = "pods.";

/**
 * Deletes what there is, of all kinds, and tells what is left. Pods go first, and the others when no
 * pod is left; apart from that a kind that fails stops no other.
 */
export async function emptyNamespace(
  context: ControllerContext,
  namespace: string,
): Promise<Findings> {
  const contentErrors: string[] = [];
  const remaining = new Map<string, number>();
  const finalizers = new Map<string, number>();
  let found: readonly DiscoveredResource[];
  try {
    found = await context.client.dynamic.discover();
  } catch (error) {
    const discoveryError = StatusError.from(error).message;
    return { discoveryError, contentErrors, remaining, finalizers };
  }
  const seen = new Set<string>();
  const unreadable: string[] = [];
  const isFirst = (resource: DiscoveredResource) => nameOf(resource) === firstKind;
  for (const group of [found.filter(isFirst), found.filter((each) => !isFirst(each))]) {
    if (remaining.size > 0 || contentErrors.length > 0) break;
    for (const resource of group) {
      const name = nameOf(resource);
      if (!isDeletable(resource) || seen.has(name)) continue;
      seen.add(name);
      if (!resource.version || !resource.kind) {
        unreadable.push(`${name}: the version or kind is missing`);
        continue;
      }
      try {
        const left = await empty(context, resource, namespace);
        if (left.length > 0) remaining.set(name, left.length);
        for (const held of left.flat()) finalizers.set(held, (finalizers.get(held) ?? 0) + 1);
      } catch (error) {
        contentErrors.push(`${name}: ${StatusError.from(error).message}`);
      }
    }
  }
  const findings = { contentErrors, remaining, finalizers };
  return unreadable.length > 0 ? { ...findings, versionError: unreadable.join(", ") } : findings;
}

function nameOf({ plural, group }: DiscoveredResource): string {
  return `${plural}.${group ?? ""}`;
}

function isDeletable({ namespaced, verbs = [] }: DiscoveredResource): boolean {
  return namespaced === true && verbs.includes("delete") && verbs.includes("list");
}

/** Deletes everything of one kind; answers the finalizers of each object that is still there. */
async function empty(
  context: ControllerContext,
  resource: DiscoveredResource,
  namespace: string,
): Promise<(readonly string[])[]> {
  const { client, write } = context;
  const { kind, plural, verbs = [] } = resource;
  const ref = { apiVersion: apiVersionOf(resource), kind, resource: plural };
  const before = await client.dynamic.list(ref, { namespace, limit: 1 });
  if (before.items.length === 0) return [];
  const propagationPolicy = "Background" as const;
  if (verbs.includes("deletecollection")) {
    await client.dynamic.deleteCollection(ref, { ...write, namespace, propagationPolicy });
  } else {
    for await (const items of pages(context, ref, namespace)) {
      const alive = items.filter(({ metadata }) => !metadata?.deletionTimestamp);
      await inParallel(alive, deletionsParallel, async ({ metadata }) => {
        const options = { ...write, propagationPolicy };
        try {
          await client.dynamic.delete(ref, metadata?.name ?? "", namespace, options);
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      });
    }
  }
  const left: (readonly string[])[] = [];
  for await (const items of pages(context, ref, namespace)) {
    for (const { metadata } of items) left.push(metadata?.finalizers ?? []);
  }
  return left;
}

async function* pages(
  { client, signal }: ControllerContext,
  ref: { readonly apiVersion: string },
  namespace: string,
): AsyncGenerator<readonly JsonObject[], void, undefined> {
  let next: string | undefined;
  do {
    const page = await client.dynamic.list(ref, {
      namespace,
      limit: pageItems,
      signal,
      ...(next !== undefined && { continue: next }),
    });
    yield page.items;
    next = page.continue;
  } while (next !== undefined);
}
