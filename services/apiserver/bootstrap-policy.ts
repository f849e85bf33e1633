/** Keeps the default roles and bindings in the store (upstream `rbac/reconciliation`). */
import { isDeepStrictEqual } from "node:util";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Subject } from "../../proto/gen/rbac.ts";
import type { Document, Resource } from "../kinds/mod.ts";
import { autoUpdate, bootstrapPolicy } from "./auth/rbac/bootstrap/mod.ts";
import { compactRules, missingRights } from "./auth/rbac/covers.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { type Backend, create, documentBody, internalCall, remove, update } from "./verbs/mod.ts";

/** Writes under way at once: a commit carries many of them. */
const writesAtOnce = 32;

/**
 * Creates what is missing. To what exists it adds the rules, subjects, labels and annotations that
 * are missing, unless its `autoupdate` annotation says false; nothing is ever taken away.
 */
export async function reconcilePolicy(backend: Backend): Promise<void> {
  const { roles, bindings } = bootstrapPolicy();
  await each(roles, (document) => reconcile(backend, document, withRules));
  await each(bindings, (document) => reconcile(backend, document, withSubjects));
  // What was just written must have come back before it decides.
  await backend.cache.waitFor(await backend.store.readRevision());
  backend.policy.complete = true;
}

async function each(
  documents: readonly Document[],
  run: (document: Document) => Promise<void>,
): Promise<void> {
  for (let start = 0; start < documents.length; start += writesAtOnce) {
    await Promise.all(documents.slice(start, start + writesAtOnce).map(run));
  }
}

/** What an existing object must become; undefined: it must be made anew. */
type Merge = (existing: Document, wanted: Document) => Document | undefined;

async function reconcile(backend: Backend, wanted: Document, merge: Merge): Promise<void> {
  const resource = backend.registry.required(wanted.apiVersion ?? "", wanted.kind ?? "");
  const { namespace = "", name = "" } = wanted.metadata ?? {};
  const stored = backend.cache.of(resource).get(objectKey(resource, namespace, name));
  if (stored === undefined) return make(backend, resource, wanted);
  const existing = stored.document;
  if (existing.metadata?.annotations?.[autoUpdate] === "false") return;
  const call = internalCall(apiserverUser);
  const next = merge(withMetadata(stored.copy(), wanted), wanted);
  if (next === undefined) {
    await remove(backend, call, resource, { name, namespace });
    return make(backend, resource, wanted);
  }
  if (isDeepStrictEqual(next, existing)) return;
  const body = documentBody(next);
  await update(backend, call, resource, { body, subresource: "", typed: false });
}

async function make(backend: Backend, resource: Resource, wanted: Document): Promise<void> {
  try {
    const body = documentBody(wanted);
    await create(backend, internalCall(apiserverUser), resource, { body });
  } catch (thrown) {
    // Another master was faster.
    if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
  }
}

function withMetadata(existing: Document, wanted: Document): Document {
  const { labels, annotations } = wanted.metadata ?? {};
  const metadata = {
    ...existing.metadata,
    labels: { ...labels, ...existing.metadata?.labels },
    annotations: { ...annotations, ...existing.metadata?.annotations },
  };
  return { ...existing, metadata };
}

function withRules(existing: Document, wanted: Document): Document {
  const { rules = [], aggregationRule } = existing as ClusterRole;
  const { rules: wantedRules = [], aggregationRule: aggregation } = wanted as ClusterRole;
  if (aggregation !== undefined) {
    const selectors = union(
      aggregationRule?.clusterRoleSelectors,
      aggregation.clusterRoleSelectors,
    );
    return { ...existing, aggregationRule: { clusterRoleSelectors: selectors } };
  }
  const missing: PolicyRule[] = missingRights(rules, wantedRules) ?? wantedRules;
  return missing.length === 0
    ? existing
    : { ...existing, rules: [...rules, ...compactRules(missing)] };
}

function withSubjects(existing: Document, wanted: Document): Document | undefined {
  const { subjects, roleRef } = existing as ClusterRoleBinding;
  const { subjects: wantedSubjects, roleRef: wantedRef } = wanted as ClusterRoleBinding;
  if (!isDeepStrictEqual(roleRef, wantedRef)) return undefined;
  const united: Subject[] = union(subjects, wantedSubjects);
  return united.length === 0 ? existing : { ...existing, subjects: united };
}

function union<T>(some: readonly T[] = [], others: readonly T[] = []): T[] {
  const added = others.filter((other) => !some.some((one) => isDeepStrictEqual(one, other)));
  return [...some, ...added];
}
