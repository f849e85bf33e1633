/** Objects that the apiserver itself puts into every cluster. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Document } from "../kinds/mod.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { type Backend, create, documentBody, internalCall, update } from "./verbs/mod.ts";

/** Creates the object if it is missing; else answers a copy of what is there. */
export async function ensure(backend: Backend, wanted: Document): Promise<Document | undefined> {
  const resource = backend.registry.required(wanted.apiVersion ?? "", wanted.kind ?? "");
  const { namespace = "", name = "" } = wanted.metadata ?? {};
  const stored = backend.cache.of(resource).get(objectKey(resource, namespace, name));
  if (stored !== undefined) return stored.copy();
  try {
    const body = documentBody(structuredClone(wanted));
    await create(backend, internalCall(apiserverUser), resource, { body });
  } catch (thrown) {
    // Another master was faster.
    if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
  }
  return undefined;
}

/** A ConfigMap with these entries, and whatever else it has. */
export async function ensureData(
  backend: Backend,
  metadata: { readonly name: string; readonly namespace: string },
  entries: Readonly<Record<string, string>>,
): Promise<void> {
  const stored = await ensure(backend, {
    ...{ apiVersion: "v1", kind: "ConfigMap", metadata: { ...metadata } },
    data: { ...entries },
  });
  if (stored === undefined) return;
  const data = (stored["data"] ?? {}) as Readonly<Record<string, string>>;
  if (Object.entries(entries).every(([key, value]) => data[key] === value)) return;
  const resource = backend.registry.required("v1", "ConfigMap");
  const body = documentBody({ ...stored, data: { ...data, ...entries } });
  const write = { body, subresource: "" as const, typed: false };
  await update(backend, internalCall(apiserverUser), resource, write);
}
