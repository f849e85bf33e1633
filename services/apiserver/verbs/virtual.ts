/** The verbs of resources that are not stored: the answer is computed for each request. */
import { type Document, type Resource, validateMetadata } from "../../kinds/mod.ts";
import { invalid, methodNotAllowed, notFound, resourceName } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { Selection } from "../storage/selection.ts";
import { StoredObject } from "../storage/stored-object.ts";
import { encodeStored } from "../storage/stored-text.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { metadataOf } from "./documents.ts";
import type { VirtualKind } from "./virtual-kind.ts";

/** Throws Invalid for what the resource's own validation refuses. */
export async function computeCreate(
  backend: Backend,
  call: Call,
  resource: Resource,
  document: Document,
  { namespace, dryRun }: { readonly namespace: string; readonly dryRun: boolean },
): Promise<StoredObject> {
  const compute = virtualKindOf(backend, resource).create ?? notServed();
  if (resource.namespaced) metadataOf(document).namespace = namespace;
  resource.setDefaults(document);
  resource.prepareForCreate(document, { user: call.user, subresource: "" });
  const { name = "" } = document.metadata ?? {};
  const named = name === "" ? [] : validateMetadata(resource, document);
  const causes = [...named, ...resource.validate(document)];
  if (causes.length > 0) throw invalid(resource, name, causes);
  return computed(resource, await compute(backend, call, document, namespace, dryRun));
}

export async function computeGet(
  backend: Backend,
  call: Call,
  resource: Resource,
  namespace: string,
  name: string,
): Promise<StoredObject> {
  const compute = virtualKindOf(backend, resource).get ?? notServed();
  const document = await compute(backend, call, name, namespace);
  if (document === undefined) throw notFound(resource, name);
  return computed(resource, document);
}

/** One page with everything that is selected. */
export async function computeList(
  backend: Backend,
  call: Call,
  resource: Resource,
  selection: Selection,
  namespace: string,
): Promise<{ readonly metadata: object; readonly items: readonly StoredObject[] }> {
  const compute = virtualKindOf(backend, resource).list ?? notServed();
  const documents = await compute(backend, call, namespace);
  const items = documents.map((document) => computed(resource, document));
  return { metadata: {}, items: items.filter((item) => selection.matches(item)) };
}

function virtualKindOf(backend: Backend, resource: Resource): VirtualKind {
  const name = resourceName(resource);
  return Object.hasOwn(backend.virtual, name) ? (backend.virtual[name] ?? {}) : {};
}

function notServed(): never {
  throw methodNotAllowed("the server does not allow this method on the requested resource");
}

/** Revision 0: what was never stored has no resourceVersion. */
function computed(resource: Resource, document: Document): StoredObject {
  const { namespace = "", name = "" } = document.metadata ?? {};
  const key = objectKey(resource, namespace, name);
  return new StoredObject(resource, key, encodeStored(resource, document), 0);
}
