import { assert } from "../../../ha/runtime/assert.ts";
import type { Binding } from "../../../proto/gen/core.ts";
import { assign } from "../verbs/pods.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";

/** Answers the binding itself; the caller needs the right to create bindings, not pods/binding. */
export const binding: VirtualKind = {
  async create(backend, call, document, namespace, dryRun) {
    const resource = backend.registry.byPlural("v1", "bindings");
    const pods = backend.registry.byPlural("v1", "pods");
    assert(resource !== undefined && pods !== undefined, "both are built in");
    const about = { resource, subresource: "", namespace, dryRun };
    await assign(backend, call, pods, about, document as Binding);
    return document;
  },
};
