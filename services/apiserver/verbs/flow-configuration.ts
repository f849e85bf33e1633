/** Keeps flow control at what the cluster's flow schemas and priority levels say. */
import type { FlowSchema, PriorityLevelConfiguration } from "../../../proto/gen/flowcontrol.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import { flowDefaults } from "./flow-defaults.ts";

const version = "flowcontrol.apiserver.k8s.io/v1";

/** Until the cluster has objects of its own, the default ones count. */
export function followFlowConfiguration({
  registry,
  cache,
  flowControl,
}: Pick<Backend, "registry" | "cache" | "flowControl">): void {
  const kinds = ["FlowSchema", "PriorityLevelConfiguration"];
  const found = kinds.map((kind) => registry.byKind(version, kind));
  const [schemas, levels] = found.map((resource) => resource && cache.of(resource));
  if (schemas === undefined || levels === undefined) return;
  const known = { schemas: new Map<string, object>(), levels: new Map<string, object>() };
  let pending = false;
  // Many objects come at once, at the start above all.
  const changed = () => {
    if (pending) return;
    pending = true;
    queueMicrotask(() => {
      pending = false;
      const empty = known.schemas.size === 0 || known.levels.size === 0;
      const present = {
        schemas: [...known.schemas.values()] as FlowSchema[],
        levels: [...known.levels.values()] as PriorityLevelConfiguration[],
      };
      flowControl.configure(empty ? flowDefaults : present);
    });
  };
  const observer = (map: Map<string, object>) => ({
    added(object: StoredObject) {
      map.set(object.key, object.document);
      changed();
    },
    removed({ key }: StoredObject) {
      map.delete(key);
      changed();
    },
  });
  schemas.observe(observer(known.schemas));
  levels.observe(observer(known.levels));
}
