import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Scale, ScaleWrite } from "../../../proto/gen/autoscaling.ts";
import type { GetRequest } from "../../../proto/gen/meta.ts";
import { invalid as invalidCause, type Kind } from "../../kinds/mod.ts";
import { invalid, notFound } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change } from "./change.ts";
import type { WriteRequest } from "./create.ts";
import { dryRunOf, metadataOf, sameDocument } from "./documents.ts";
import { parseResourceVersion, waitForCache } from "./fetch.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { checkPreconditions, isFinal, replace } from "./update.ts";

/** Replaces a namespace's spec.finalizers; the last one gone, a terminating namespace goes too. */
export async function finalize(
  backend: Backend,
  call: Call,
  namespaces: Kind,
  request: WriteRequest,
): Promise<StoredObject> {
  const metadata = metadataOf(request.document);
  const name = nameOf(metadata.name);
  const kind = namespaces;
  const target = { verb: "update", kind, subresource: "finalize", namespace: "", name };
  return run(backend, call, target, async () => {
    const key = objectKey(kind, "", name);
    const dryRun = dryRunOf(request.options);
    const wanted = request.document["spec"] as { finalizers?: string[] } | undefined;
    const { object } = await change(backend, call, { kind, key, name, dryRun }, (stored) => {
      const { uid, resourceVersion } = metadata;
      checkPreconditions(kind, stored, { uid, resourceVersion });
      const next = stored.copy();
      next["spec"] = {
        ...(next["spec"] as object | undefined),
        finalizers: wanted?.finalizers ?? [],
      };
      if (isFinal(kind, next)) return { action: "delete" };
      if (sameDocument(next, stored.document)) return { action: "keep" };
      return { action: "put", document: next };
    });
    return object;
  });
}

export async function getScale(
  backend: Backend,
  call: Call,
  kind: Kind,
  request: GetRequest,
): Promise<Scale> {
  const name = nameOf(request.name);
  const namespace = namespaceOf(kind, request.namespace);
  const target = { verb: "get", kind, subresource: "scale", namespace, name };
  return run(backend, call, target, async () => {
    await waitForCache(backend, parseResourceVersion(request.resourceVersion, "resourceVersion"));
    const object = backend.cache.of(kind).get(objectKey(kind, namespace, name));
    if (object === undefined) throw notFound(kind, name);
    return scaleOf(object);
  });
}

/** Sets the replicas wanted, and nothing else. */
export async function updateScale(
  backend: Backend,
  call: Call,
  kind: Kind,
  request: ScaleWrite,
): Promise<Scale> {
  const metadata = request.object?.metadata ?? {};
  const name = nameOf(metadata.name);
  const namespace = namespaceOf(kind, request.namespace, metadata.namespace);
  const target = { verb: "update", kind, subresource: "scale", namespace, name };
  return run(backend, call, target, async () => {
    const replicas = request.object?.spec?.replicas ?? 0;
    if (replicas < 0) {
      const detail = "must be greater than or equal to 0";
      throw invalid(kind, name, [invalidCause("spec.replicas", replicas, detail)]);
    }
    const key = objectKey(kind, namespace, name);
    const dryRun = dryRunOf(request.options);
    const { object } = await change(backend, call, { kind, key, name, dryRun }, (stored) => {
      const { uid, resourceVersion } = metadata;
      checkPreconditions(kind, stored, { uid, resourceVersion });
      const next = stored.copy();
      scaleViewOf(kind).setReplicas(next, replicas);
      return replace(backend, kind, stored, next, "");
    });
    return scaleOf(object);
  });
}

function scaleViewOf(kind: Kind): NonNullable<Kind["scale"]> {
  if (kind.scale !== undefined) return kind.scale;
  throw new StatusError(Code.unimplemented, `${kind.plural} have no scale subresource`, {
    reason: "MethodNotAllowed",
  });
}

function scaleOf(object: StoredObject): Scale {
  const view = scaleViewOf(object.kind);
  const { document } = object;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = document.metadata ?? {};
  return {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: view.replicas(document) },
    status: { replicas: view.currentReplicas(document), selector: view.selector(document) },
  };
}
