import type { GetRequest } from "../../../proto/gen/meta.ts";
import type { Kind } from "../../kinds/mod.ts";
import { notFound } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { parseResourceVersion, waitForCache } from "./fetch.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";

/** Linearizable unless the request names a resourceVersion. Throws NotFound. */
export async function get(
  backend: Backend,
  call: Call,
  kind: Kind,
  request: GetRequest,
): Promise<StoredObject> {
  const name = nameOf(request.name);
  const namespace = namespaceOf(kind, request.namespace);
  return run(backend, call, { verb: "get", kind, namespace, name }, async () => {
    await waitForCache(backend, parseResourceVersion(request.resourceVersion, "resourceVersion"));
    const object = backend.cache.of(kind).get(objectKey(kind, namespace, name));
    if (object === undefined) throw notFound(kind, name);
    return object;
  });
}
