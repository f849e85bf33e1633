import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Document, Kind } from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import type { StoredObject } from "../storage/stored-object.ts";

/** Namespaces that exist from the first start and may not be deleted. */
export const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

const immortal = new Set(["default", "kube-system", "kube-public"]);

/**
 * Objects are only created in a namespace that exists and is not terminating (upstream's
 * NamespaceLifecycle admission). Throws NotFound or Forbidden.
 */
export function checkNamespace(
  kind: Kind,
  name: string,
  namespaceName: string | undefined,
  namespace: StoredObject | undefined,
): void {
  if (!kind.namespaced) return;
  const where = namespaceName ?? "";
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
  if (terminating || status?.phase === "Terminating") throw beingTerminated(kind, name, where);
}

function beingTerminated(kind: Kind, name: string, namespace: string): StatusError {
  const text = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const error = forbidden(kind, name, text);
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

/** What every new namespace carries. */
export function prepareNamespace(document: Document): void {
  const { name } = document.metadata ?? {};
  const spec = (document["spec"] ?? {}) as { finalizers?: string[] };
  if (!spec.finalizers?.includes("kubernetes")) {
    spec.finalizers = [...(spec.finalizers ?? []), "kubernetes"];
  }
  document["spec"] = spec;
  document["status"] = { phase: "Active" };
  if (document.metadata !== undefined && name) {
    document.metadata.labels = { ...document.metadata.labels, [nameLabel]: name };
  }
}

const nameLabel = "kubernetes.io/metadata.name";

/** Throws Forbidden for the namespaces nothing works without. */
export function checkNamespaceDeletion(kind: Kind, name: string): void {
  if (immortal.has(name)) throw forbidden(kind, name, "this namespace may not be deleted");
}
