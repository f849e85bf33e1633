/**
 * Which objects each node needs, because a pod that is bound to it names them (upstream's graph of
 * the Node authorizer). Kept up to date by every event of pods and volumes, so that a decision is a
 * look-up.
 */
import type { Pod } from "../../../proto/gen/core.ts";
import { type Document, equalJson, type Registry, referencesOf } from "../../kinds/mod.ts";
import { objectKey } from "../storage/keys.ts";
import type { ObjectObserver } from "../storage/kind-cache.ts";
import type { WatchCache } from "../storage/watch-cache.ts";

/** The kinds whose objects a pod names. */
export type NeededKind = "secrets" | "configmaps" | "persistentvolumeclaims" | "serviceaccounts";

export const mirrorAnnotation = "kubernetes.io/config.mirror";

interface Volume {
  readonly claim: string;
  readonly secrets: readonly string[];
}

/** What of a stored object the graph reads. */
interface Named {
  readonly key: string;
  readonly document: Document;
}

export class NodeGraph {
  /** By node, then by `kind namespace/name`: how many pods need the object. */
  readonly #needs = new Map<string, Map<string, number>>();
  /** By `namespace/name`. */
  readonly #nodeOfPod = new Map<string, string>();
  readonly #volumes = new Map<string, Volume>();
  /** Claims by the secrets that their volumes need; both as `namespace/name`. */
  readonly #claimsOfSecret = new Map<string, Map<string, number>>();
  #nodeOfAttachment: (name: string) => string | undefined = () => undefined;

  /** Follows the cache from now on. Kinds that are not served need no edges. */
  static of(registry: Registry, cache: WatchCache): NodeGraph {
    const graph = new NodeGraph();
    cache.of(registry.required("v1", "Pod")).observe(graph.#podObserver());
    const volumes = registry.byKind("v1", "PersistentVolume");
    if (volumes !== undefined) cache.of(volumes).observe(graph.#volumeObserver());
    const attachments = registry.byKind("storage.k8s.io/v1", "VolumeAttachment");
    if (attachments !== undefined) {
      graph.#nodeOfAttachment = (name) => {
        const found = cache.of(attachments).get(objectKey(attachments, "", name));
        return (found?.document["spec"] as { nodeName?: string } | undefined)?.nodeName;
      };
    }
    return graph;
  }

  /** Whether a pod on the node names the object, itself or through its volume. */
  needs(node: string, kind: NeededKind, namespace: string, name: string): boolean {
    const needed = this.#needs.get(node);
    if (needed === undefined) return false;
    if (needed.has(`${kind} ${namespace}/${name}`)) return true;
    if (kind !== "secrets") return false;
    const claims = this.#claimsOfSecret.get(`${namespace}/${name}`)?.keys() ?? [];
    return [...claims].some((claim) => needed.has(`persistentvolumeclaims ${claim}`));
  }

  needsVolume(node: string, name: string): boolean {
    const claim = this.#volumes.get(name)?.claim;
    return (
      claim !== undefined && this.#needs.get(node)?.has(`persistentvolumeclaims ${claim}`) === true
    );
  }

  nodeOfPod(namespace: string, name: string): string | undefined {
    return this.#nodeOfPod.get(`${namespace}/${name}`);
  }

  nodeOfAttachment(name: string): string | undefined {
    return this.#nodeOfAttachment(name);
  }

  /** Told of every pod. */
  readonly pods = {
    added: ({ document }: Pick<Named, "document">) => this.#changePod(document, 1),
    removed: ({ document }: Pick<Named, "document">) => this.#changePod(document, -1),
  };

  /** Pods that no node has yet are not even parsed. */
  #podObserver(): ObjectObserver {
    return {
      added: (object) => {
        if (object.mayHave("nodeName")) this.pods.added(object);
      },
      removed: (object) => {
        if (object.mayHave("nodeName")) this.pods.removed(object);
      },
      // Nearly all changes of pods are of their status.
      isSame: (before, after) =>
        before.hasDocument && after.hasDocument && isSamePod(before.document, after.document),
    };
  }

  #changePod(document: Document, step: 1 | -1): void {
    const pod = document as Pod;
    const { namespace = "", name = "" } = pod.metadata ?? {};
    const node = pod.spec?.nodeName;
    if (!node) return;
    if (step > 0) this.#nodeOfPod.set(`${namespace}/${name}`, node);
    else this.#nodeOfPod.delete(`${namespace}/${name}`);
    // A kubelet makes mirror pods itself, so they must not open anything to it.
    if (isMirror(document)) return;
    const needed = this.#needs.get(node) ?? new Map<string, number>();
    this.#needs.set(node, needed);
    const { secrets, configMaps, claims, serviceAccount } = referencesOf(pod);
    const note = (kind: NeededKind, of: string) => {
      count(needed, `${kind} ${namespace}/${of}`, step);
    };
    for (const each of secrets) note("secrets", each);
    for (const each of configMaps) note("configmaps", each);
    for (const each of claims) note("persistentvolumeclaims", each);
    note("serviceaccounts", serviceAccount);
    if (needed.size === 0) this.#needs.delete(node);
  }

  #volumeObserver(): ObjectObserver {
    const change = ({ document }: Named, step: 1 | -1) => {
      const name = document.metadata?.name ?? "";
      const volume = volumeOf(document);
      if (step > 0 && volume !== undefined) this.#volumes.set(name, volume);
      else this.#volumes.delete(name);
      for (const secret of volume?.secrets ?? []) {
        const claims = this.#claimsOfSecret.get(secret) ?? new Map<string, number>();
        this.#claimsOfSecret.set(secret, claims);
        count(claims, volume?.claim ?? "", step);
        if (claims.size === 0) this.#claimsOfSecret.delete(secret);
      }
    };
    return { added: (object) => change(object, 1), removed: (object) => change(object, -1) };
  }
}

/** In what the graph reads of pods. */
function isSamePod(before: Document, after: Document): boolean {
  return (
    isMirror(before) === isMirror(after) &&
    before.metadata?.uid === after.metadata?.uid &&
    equalJson(before["spec"], after["spec"])
  );
}

function isMirror({ metadata }: Document): boolean {
  return Object.hasOwn(metadata?.annotations ?? {}, mirrorAnnotation);
}

function count(counts: Map<string, number>, key: string, step: number): void {
  const next = (counts.get(key) ?? 0) + step;
  if (next > 0) counts.set(key, next);
  else counts.delete(key);
}

interface SecretReference {
  readonly name?: string;
  readonly namespace?: string;
}

/** Undefined: the volume is bound to no claim. */
function volumeOf(document: Document): Volume | undefined {
  const spec = (document["spec"] ?? {}) as {
    claimRef?: SecretReference;
    csi?: Readonly<Record<string, unknown>>;
  };
  const { claimRef, csi = {} } = spec;
  if (!claimRef?.name) return undefined;
  const secrets = ["controllerPublishSecretRef", "nodeStageSecretRef", "nodePublishSecretRef"]
    .concat("nodeExpandSecretRef")
    .map((field) => csi[field] as SecretReference | undefined)
    .filter((reference) => reference?.name !== undefined);
  return {
    claim: `${claimRef.namespace}/${claimRef.name}`,
    secrets: secrets.map((reference) => `${reference?.namespace}/${reference?.name}`),
  };
}
