import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { type Document, systemPriorityClasses } from "../kinds/mod.ts";
import { systemNamespaces } from "./admission/namespace-lifecycle.ts";
import { reconcilePolicy } from "./bootstrap-policy.ts";
import { limits } from "./limits.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { pause } from "./storage/watch-cache.ts";
import { flowDefaults } from "./verbs/flow-defaults.ts";
import { type Backend, create, documentBody, internalCall } from "./verbs/mod.ts";

/**
 * Creates what every cluster has. Any master may do it, several at once, again at every start: what
 * exists already is left alone, but for what upstream puts back into the default roles and bindings.
 * Tries until the store can be written or the signal aborts.
 */
export async function bootstrap(backend: Backend, signal: AbortSignal): Promise<void> {
  let delay: number = limits.retryMinMillis;
  while (!signal.aborted) {
    try {
      for (const name of systemNamespaces) {
        await createMissing(backend, "v1", "Namespace", { metadata: { name } });
      }
      for (const one of systemPriorityClasses) {
        await createMissing(backend, "scheduling.k8s.io/v1", "PriorityClass", one);
      }
      await createMissing(backend, "networking.k8s.io/v1", "ServiceCIDR", {
        metadata: { name: "kubernetes" },
        spec: { cidrs: backend.serviceRanges },
      });
      await createMissing(backend, "storage.k8s.io/v1", "StorageClass", standardClass);
      await createMissing(backend, "v1", "ConfigMap", {
        metadata: tokenTracking,
        data: { since: new Date(backend.clock.wallMillis()).toISOString().slice(0, 10) },
      });
      for (const level of flowDefaults.levels) {
        await createMissing(backend, flowVersion, "PriorityLevelConfiguration", level);
      }
      for (const schema of flowDefaults.schemas) {
        await createMissing(backend, flowVersion, "FlowSchema", schema);
      }
      await reconcilePolicy(backend);
      return;
    } catch (thrown) {
      const error = StatusError.from(thrown);
      backend.log.warn("the objects of the system could not be created yet", {
        error: error.message,
      });
    }
    await pause(backend.clock, delay, signal);
    delay = Math.min(delay * 2, limits.retryMaxMillis);
  }
}

const flowVersion = "flowcontrol.apiserver.k8s.io/v1";

/** Claims that name no class get a directory of the node. */
const standardClass = {
  metadata: {
    name: "standard",
    annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
  },
  provisioner: "trireme.io/host-path",
  reclaimPolicy: "Delete",
  volumeBindingMode: "Immediate",
};

/**
 * Since when the use of tokens in Secrets may be tracked: the cleaner of such tokens waits for it
 * (upstream `controlplane/controller/legacytokentracking`).
 */
const tokenTracking = {
  namespace: "kube-system",
  name: "kube-apiserver-legacy-service-account-token-tracking",
};

/** Objects whose document has a name, and a namespace if there is one. */
async function createMissing(
  backend: Backend,
  apiVersion: string,
  kind: string,
  object: object,
): Promise<void> {
  const document = structuredClone(object) as Document;
  const resource = backend.registry.required(apiVersion, kind);
  const { namespace = "", name = "" } = document.metadata ?? {};
  const key = objectKey(resource, namespace, name);
  if (backend.cache.of(resource).get(key) !== undefined) return;
  try {
    const body = documentBody(document);
    await create(backend, internalCall(apiserverUser), resource, { body });
  } catch (thrown) {
    // Another master was faster.
    if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
  }
}
