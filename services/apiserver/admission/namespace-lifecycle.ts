import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Registry, Resource } from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import { keyBytes } from "../storage/keys.ts";
import { StoredObject } from "../storage/stored-object.ts";
import type { AdmissionPlugin, AdmissionRequest, Companions } from "./chain.ts";

/** Namespaces that exist from the first start and may not be deleted. */
export const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

const immortal = new Set(["default", "kube-system", "kube-public"]);

/** The namespace as the watch cache has it; with `fresh`, as the store has it. */
export type NamespaceLookup = (name: string, fresh: boolean) => Promise<StoredObject | undefined>;

const name = "namespace-lifecycle";

/**
 * Objects are only created in a namespace that exists and is not terminating, and the namespaces
 * without which nothing works stay (upstream's NamespaceLifecycle). The transaction holds only if
 * the namespace is still as it was looked at.
 */
export function namespaceLifecycle(registry: Registry, lookup: NamespaceLookup): AdmissionPlugin {
  const namespaces = registry.required("v1", "Namespace");
  return {
    name,
    operations: ["create", "delete"],
    async validate(request) {
      const { resource, operation } = request;
      if (operation === "delete") {
        if (resource !== namespaces || !immortal.has(request.name)) return;
        throw forbidden(resource, request.name, "this namespace may not be deleted");
      }
      if (!resource.namespaced) return;
      const fresh = request.notes.has(name);
      const namespace = await lookup(request.namespace, fresh);
      checkNamespace(request, namespace);
      request.notes.set(name, namespace);
    },
    companions({ notes, operation, resource }): Companions | undefined {
      const namespace = notes.get(name);
      if (operation !== "create" || !resource.namespaced) return undefined;
      if (!(namespace instanceof StoredObject)) return undefined;
      const { key, revision } = namespace;
      const compare = { target: "mod", operator: "=", operand: revision } as const;
      return { compares: [{ key: keyBytes(key), ...compare }], operations: [], reads: [key] };
    },
  };
}

function checkNamespace(request: AdmissionRequest, namespace: StoredObject | undefined): void {
  const where = request.namespace;
  if (namespace === undefined) {
    throw new StatusError(Code.notFound, `namespaces "${where}" not found`, {
      reason: "NotFound",
      group: "",
      kind: "namespaces",
      name: where,
    });
  }
  const { document } = namespace;
  const status = document["status"] as { phase?: string } | undefined;
  const terminating = document.metadata?.deletionTimestamp !== undefined;
  if (terminating || status?.phase === "Terminating") {
    throw beingTerminated(request.resource, request.name, where);
  }
}

function beingTerminated(resource: Resource, name: string, namespace: string): StatusError {
  const text = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const error = forbidden(resource, name, text);
  return new StatusError(error.code, error.message, {
    ...error.detail,
    reason: "Forbidden",
    causes: [
      {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      },
    ],
  });
}
