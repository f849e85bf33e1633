import type { Resource } from "../../kinds/mod.ts";
import { methodNotAllowed, noSuchResource } from "../errors.ts";
import { keyBytes } from "../storage/keys.ts";
import { StoredObject } from "../storage/stored-object.ts";
import type { AdmissionPlugin, Companions } from "./chain.ts";

const name = "custom-resource-lifecycle";

export interface Definitions {
  /** The key of the definition that a resource comes from; undefined: it is no custom resource. */
  originOf(resource: Resource): string | undefined;
  /** The definition as the watch cache has it; with `fresh`, as the store has it. */
  find(key: string, fresh: boolean): Promise<StoredObject | undefined>;
}

/**
 * Objects are only created while their definition stays: the transaction holds only if the definition
 * is still as it was looked at, so none is left behind when the definition goes.
 */
export function customResourceLifecycle(definitions: Definitions): AdmissionPlugin {
  return {
    name,
    operations: ["create"],
    async validate({ resource, notes }) {
      const key = definitions.originOf(resource);
      if (key === undefined) return;
      const definition = await definitions.find(key, notes.has(name));
      if (definition === undefined) throw noSuchResource(resource.plural);
      if (definition.document.metadata?.deletionTimestamp !== undefined) {
        throw methodNotAllowed(
          "create not allowed while custom resource definition is terminating",
        );
      }
      notes.set(name, definition);
    },
    companions({ notes, operation }): Companions | undefined {
      const definition = notes.get(name);
      if (operation !== "create" || !(definition instanceof StoredObject)) return undefined;
      const { key, revision } = definition;
      const compare = { target: "mod", operator: "=", operand: revision } as const;
      return { compares: [{ key: keyBytes(key), ...compare }], operations: [], reads: [key] };
    },
  };
}
