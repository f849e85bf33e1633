import { StatusError } from "../../ha/runtime/status-error.ts";
import type { NamespaceCondition } from "../../proto/gen/core.ts";
import type { DiscoveredResource } from "../../proto/gen/dynamic.ts";
import { isConflict, isNotFound, keyOf } from "../client/mod.ts";
import { rfc3339Seconds } from "../kinds/mod.ts";
import type { Controller, ControllerContext } from "./types.ts";

const finalizer = "kubernetes";
/** Pause between looks while contents are on their way out. */
const retryMillis = 1_000;

/** Empties a namespace that is being deleted, of every kind there is, then lets it go. */
export function namespaceController(workers: number): Controller {
  return {
    name: "namespace",
    informers: ["Namespace"],
    workers,
    start(context) {
      const { on, queue } = context;
      on("Namespace", {
        added: (namespace) => queue.add(keyOf(namespace)),
        updated: (_, namespace) => queue.add(keyOf(namespace)),
      });
      return (key) => reconcile(context, key);
    },
  };
}

async function reconcile(context: ControllerContext, name: string): Promise<void> {
  const { client, informer, log, queue, write } = context;
  const namespace = informer("Namespace").lister.get(name);
  if (!namespace?.metadata?.deletionTimestamp) return;
  const finalizers = namespace.spec?.finalizers ?? [];
  if (!finalizers.includes(finalizer)) return;
  const remaining: string[] = [];
  let failure: unknown;
  for (const resource of await client.dynamic.discover()) {
    if (!isDeletable(resource)) continue;
    try {
      const left = await empty(context, resource, name);
      if (left > 0) remaining.push(`${resource.plural} has ${left} resource instances`);
    } catch (error) {
      // The other kinds are emptied all the same.
      failure ??= error;
      remaining.push(`${resource.plural}: ${StatusError.from(error).message}`);
    }
  }
  if (remaining.length > 0) {
    await explain(context, name, remaining);
    if (failure !== undefined) throw failure;
    queue.addAfter(name, retryMillis);
    return;
  }
  try {
    const current = await client.namespaces.get(name);
    if (current.metadata?.uid !== namespace.metadata.uid) return;
    const left = (current.spec?.finalizers ?? []).filter((each) => each !== finalizer);
    await client.finalizeNamespace(
      { ...current, spec: { ...current.spec, finalizers: left } },
      write,
    );
    log.info("a namespace is empty and goes", { namespace: name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

function isDeletable({ namespaced, verbs = [] }: DiscoveredResource): boolean {
  // One verb may be missing from a list that says nothing of verbs at all.
  const can = (verb: string) => verbs.length === 0 || verbs.includes(verb);
  return namespaced === true && can("delete") && can("list");
}

/** Deletes everything of one kind; answers how much is still there. */
async function empty(
  { client, write }: ControllerContext,
  resource: DiscoveredResource,
  namespace: string,
): Promise<number> {
  const { group, version, kind, plural } = resource;
  const ref = { apiVersion: group ? `${group}/${version}` : version, kind, resource: plural };
  const before = await client.dynamic.list(ref, { namespace, limit: 1 });
  if (before.items.length === 0) return 0;
  const propagationPolicy = "Background" as const;
  await client.dynamic.deleteCollection(ref, { ...write, namespace, propagationPolicy });
  return (await client.dynamic.list(ref, { namespace, limit: 500 })).items.length;
}

/** Tells on the namespace what it is waiting for. */
async function explain(
  { client, clock, write }: ControllerContext,
  name: string,
  remaining: readonly string[],
): Promise<void> {
  const type = "NamespaceContentRemaining";
  const message = `Some resources are remaining: ${remaining.join(", ")}`;
  const current = await client.namespaces.get(name);
  const conditions = current.status?.conditions ?? [];
  const known = conditions.find((condition) => condition.type === type);
  if (known?.message === message) return;
  const condition: NamespaceCondition = {
    type,
    status: "True",
    reason: "SomeResourcesRemain",
    message,
    lastTransitionTime: known?.lastTransitionTime ?? rfc3339Seconds(clock.wallMillis()),
  };
  const others = conditions.filter((each) => each.type !== type);
  const status = { ...current.status, conditions: [...others, condition] };
  try {
    await client.namespaces.updateStatus({ ...current, status }, write);
  } catch (error) {
    // Only words: the next look says it again.
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
}
