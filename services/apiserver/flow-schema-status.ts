/**
 * Keeps the condition Dangling of flow schemas: whether the priority level that they name exists
 * (upstream `util/flowcontrol`, `apf_controller.go`).
 */
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { FlowSchema } from "../../proto/gen/flowcontrol.ts";
import { type Document, type Resource, rfc3339Seconds } from "../kinds/mod.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { createSelection } from "./storage/selection.ts";
import type { StoredObject } from "./storage/stored-object.ts";
import { LeadingLoop } from "./verbs/leading-loop.ts";
import { type Backend, documentBody, internalCall, update } from "./verbs/mod.ts";

const version = "flowcontrol.apiserver.k8s.io/v1";
/** Who manages the condition, as upstream names it. */
const fieldManager = "api-priority-and-fairness-config-consumer-v1";
const dangling = "Dangling";

/** Until the signal aborts. */
export function keepFlowSchemaStatus(backend: Backend, signal: AbortSignal): void {
  const { registry, cache, log } = backend;
  const schemas = registry.byKind(version, "FlowSchema");
  const levels = registry.byKind(version, "PriorityLevelConfiguration");
  if (schemas === undefined || levels === undefined) return;
  const loop = new LeadingLoop(backend, async (closed) => {
    // What is not there yet would seem to be missing.
    if (!cache.filled) return false;
    const names = new Set(objectsOf(backend, levels).map(({ name }) => name));
    let pending = false;
    for (const object of objectsOf(backend, schemas)) {
      if (closed()) return false;
      try {
        await settle(backend, schemas, object, names);
      } catch (thrown) {
        // Changed or deleted meanwhile: the next round sees what is there then.
        pending = true;
        const { message } = StatusError.from(thrown);
        log.debug("a flow schema's status was not written", { name: object.name, message });
      }
    }
    return pending;
  });
  let scheduled = false;
  // The cache has taken the change in only when its observers are done; many come at once.
  const changed = () => {
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      loop.changed();
    });
  };
  const observer = { added: changed, removed: changed };
  cache.of(schemas).observe(observer);
  cache.of(levels).observe(observer);
  cache.whenFilled().then(changed, () => loop.close());
  signal.addEventListener("abort", () => loop.close(), { once: true });
}

function objectsOf({ cache }: Backend, resource: Resource): StoredObject[] {
  return [...cache.of(resource).select(createSelection(resource, {}))].map(({ source }) => source);
}

async function settle(
  backend: Backend,
  resource: Resource,
  object: StoredObject,
  levels: ReadonlySet<string>,
): Promise<void> {
  const { spec = {}, status = {}, metadata } = object.document as FlowSchema;
  if (metadata?.deletionTimestamp !== undefined) return;
  const wanted = conditionFor(spec.priorityLevelConfiguration?.name ?? "", levels);
  const conditions = status.conditions ?? [];
  const present = conditions.find(({ type }) => type === dangling);
  const { reason, message } = wanted;
  const same = present?.status === wanted.status && present.reason === reason;
  if (same && present.message === message) return;
  const lastTransitionTime = rfc3339Seconds(backend.now());
  const others = conditions.filter(({ type }) => type !== dangling);
  const next = { ...status, conditions: [...others, { ...wanted, lastTransitionTime }] };
  const document: Document = { ...object.copy(), status: next };
  await update(backend, internalCall(apiserverUser), resource, {
    body: documentBody(document),
    subresource: "status",
    options: { fieldManager },
    typed: false,
  });
}

function conditionFor(level: string, levels: ReadonlySet<string>) {
  const text = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)}`;
  return levels.has(level)
    ? { type: dangling, status: "False", reason: "Found", message: `${text} and it exists` }
    : {
        ...{ type: dangling, status: "True", reason: "NotFound" },
        message: `${text} but there is no such object`,
      };
}
