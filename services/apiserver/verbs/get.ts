import type { GetRequest } from "../../../proto/gen/meta.ts";
import type { Resource } from "../../kinds/mod.ts";
import { notFound } from "../errors.ts";
import { ready } from "../storage/fetch.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { parseResourceVersion, waitForCache } from "./resource-version.ts";
import { computeGet } from "./virtual.ts";

/** Linearizable unless the request names a resourceVersion. Throws NotFound. */
export async function get(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: GetRequest,
  subresource = "",
): Promise<StoredObject> {
  const name = nameOf(request.name);
  const namespace = namespaceOf(resource, request.namespace);
  const target = { verb: "get", resource, subresource, namespace, name };
  return run(backend, call, target, [], async () => {
    if (!resource.stored) return computeGet(backend, call, resource, namespace, name);
    await waitForCache(
      backend,
      resource,
      parseResourceVersion(request.resourceVersion, "resourceVersion"),
    );
    const object = backend.cache.of(resource).get(objectKey(resource, namespace, name));
    if (object === undefined) throw notFound(resource, name);
    return ready(object.as(resource));
  });
}
