import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type Again, isConflict, isNotFound, keyOf } from "../../client/mod.ts";
import { sameConditions } from "../../kinds/facts.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { type Findings, isEmptied, withFindings } from "./conditions.ts";
import { emptyNamespace } from "./contents.ts";

const finalizer = "kubernetes";
/** Pause between looks while contents are on their way out. */
const retryMillis = 1_000;
/** Looking takes at most this share of the time, however much there is. */
const pauseFactor = 4;

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
        updated: (previous, namespace) => {
          // Its own words about a namespace are no reason to look at it again.
          const view = ({ metadata, spec }: typeof namespace) =>
            JSON.stringify([metadata?.deletionTimestamp, spec?.finalizers]);
          if (view(previous) !== view(namespace)) queue.add(keyOf(namespace));
        },
      });
      return (key) => reconcile(context, key);
    },
  };
}

async function reconcile(context: ControllerContext, name: string): Promise<Again | undefined> {
  const { client, clock, informer, log, write } = context;
  const namespace = informer("Namespace").lister.get(name);
  if (!namespace?.metadata?.deletionTimestamp) return undefined;
  const finalizers = namespace.spec?.finalizers ?? [];
  if (!finalizers.includes(finalizer)) return undefined;
  const began = clock.monotonicMillis();
  const findings = await emptyNamespace(context, name);
  const emptied = isEmptied(findings);
  // A namespace that goes at once has nothing to explain.
  const said = (namespace.status?.conditions ?? []).length > 0;
  if (!emptied || said || finalizers.length > 1) await explain(context, name, findings);
  if (!emptied) {
    const { contentErrors, discoveryError, versionError } = findings;
    const failures = [discoveryError, versionError, ...contentErrors].filter(Boolean);
    if (failures.length > 0) {
      const text = `namespace ${name} is not emptied: ${failures.join(", ")}`;
      throw new StatusError(Code.unknown, text);
    }
    const spent = clock.monotonicMillis() - began;
    return { after: Math.max(retryMillis, pauseFactor * spent) };
  }
  try {
    const current = await client.namespaces.get(name);
    if (current.metadata?.uid !== namespace.metadata.uid) return undefined;
    const left = (current.spec?.finalizers ?? []).filter((each) => each !== finalizer);
    const spec = { ...current.spec, finalizers: left };
    await client.finalizeNamespace({ ...current, spec }, write);
    log.info("a namespace is empty and goes", { namespace: name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return undefined;
}

/** Tells on the namespace what it is waiting for. */
async function explain(
  { client, clock, write }: ControllerContext,
  name: string,
  findings: Findings,
): Promise<void> {
  try {
    const current = await client.namespaces.get(name);
    const before = current.status?.conditions;
    const conditions = withFindings(before, findings, clock.wallMillis());
    if (sameConditions(before, conditions)) return;
    const status = { ...current.status, conditions };
    await client.namespaces.updateStatus({ ...current, status }, write);
  } catch (error) {
    // Only words: the next look says it again.
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
}
