/**
 * An apiserver in memory, for tests of what stands on the client: revisions, optimistic
 * concurrency, watches with history, finalizers, graceful deletion, fences.
 */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Binding, Namespace } from "../../proto/gen/core.ts";
import type { ResourceRef } from "../../proto/gen/dynamic.ts";
import type {
  DynamicClient,
  JsonObject,
  KindName,
  ObjectTypes,
  ResourceClient,
  TriremeClient,
  WatchEvent,
} from "../../services/client/mod.ts";
import { clientsByProperty, keyOf, resources } from "../../services/client/mod.ts";
import type {
  ApiObject,
  DeleteOptions,
  ListOptions,
  WatchOptions,
  WriteOptions,
} from "../../services/client/types.ts";
import { matchesLabels, parseLabelSelector } from "../../services/kinds/mod.ts";

type Stored = JsonObject & { spec?: Record<string, unknown>; status?: Record<string, unknown> };

interface Change {
  readonly revision: number;
  readonly kind: KindName;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Stored;
}

/** One write as the server saw it. */
export interface Written {
  readonly verb: string;
  readonly kind: KindName;
  readonly key: string;
  readonly fence: string | undefined;
  readonly object?: Stored;
}

export interface FakeKind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export interface FakeApiOptions {
  readonly now?: () => number;
  /** A deleted pod that has a node stays, with a deletionTimestamp, until `finishPod`. */
  readonly gracefulPods?: boolean;
}

export class FakeApi {
  revision = 0;
  lists = 0;
  watches = 0;
  readonly written: Written[] = [];
  /** Throws what the test wants thrown before a write is done. */
  intercept: ((verb: string, kind: KindName, object: ApiObject) => void) | undefined;
  /** Every watch and call fails while true. */
  down = false;
  /** What discovery answers with. */
  discoveryError: StatusError | undefined;
  readonly #objects = new Map<KindName, Map<string, Stored>>();
  readonly #history: Change[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #fences = new Map<string, number>();
  readonly #options: FakeApiOptions;
  readonly #served: FakeKind[] = [];
  #compacted = 0;
  #generation = 0;
  #uids = 0;

  constructor(options: FakeApiOptions = {}) {
    this.#options = options;
  }

  /** A client of this server. */
  client(): TriremeClient {
    const clients = new Map<KindName, unknown>();
    const resource = <K extends KindName>(kind: K): ResourceClient<ObjectTypes[K]> => {
      const made = (clients.get(kind) ?? this.#resource(kind)) as ResourceClient<ObjectTypes[K]>;
      clients.set(kind, made);
      return made;
    };
    return {
      resource,
      ...clientsByProperty(resource),
      dynamic: this.#dynamic(resource),
      cluster: { status: async () => ({ ready: true }) },
      bind: async (pod, nodeName, options) => {
        const binding = { target: { name: nodeName } } as Binding;
        await this.#bind(`${pod.namespace}/${pod.name}`, pod.uid, binding, options);
      },
      evict: (pod, options) => resource("Pod").delete(pod.name, pod.namespace, options),
      finalizeNamespace: async (namespace, options) => this.#finalize(namespace, options),
      heartbeat: () => Promise.reject(new StatusError(Code.unimplemented, "no heartbeat here")),
      logs: () => {
        throw new StatusError(Code.unimplemented, "no logs here");
      },
      close() {},
    };
  }

  get<K extends KindName>(kind: K, key: string): ObjectTypes[K] | undefined {
    return this.#kind(kind).get(key) as ObjectTypes[K] | undefined;
  }

  all<K extends KindName>(kind: K): ObjectTypes[K][] {
    return [...this.#kind(kind).values()] as unknown as ObjectTypes[K][];
  }

  /** A kind that is known only at run time. */
  serve(row: FakeKind): void {
    this.#served.push(row);
  }

  withdraw(kind: string): void {
    const at = this.#served.findIndex((row) => row.kind === kind);
    this.#served.splice(at, 1);
  }

  #rows(): FakeKind[] {
    return [...Object.values(resources), ...this.#served];
  }

  #row(kind: string): FakeKind {
    const row = this.#rows().find((each) => each.kind === kind);
    if (!row) throw new Error(`the fake API serves no ${kind}`);
    return row;
  }

  /** Changes a stored object behind everybody's back, as a kubelet or a user would. */
  change<K extends KindName>(kind: K, key: string, change: (object: ObjectTypes[K]) => void): void {
    const stored = this.#kind(kind).get(key);
    if (!stored) throw new Error(`no ${kind} ${key}`);
    const next = structuredClone(stored);
    change(next as unknown as ObjectTypes[K]);
    this.#put(kind, next, "MODIFIED");
  }

  /** The kubelet says the pod's containers are gone. */
  finishPod(key: string): void {
    const pod = this.#kind("Pod").get(key);
    if (!pod) return;
    pod.metadata!.finalizers = [];
    this.#remove("Pod", pod);
  }

  /** History up to now is forgotten: older watches expire. */
  compact(): void {
    this.#compacted = this.revision;
  }

  /** All watches end with UNAVAILABLE, as on a failover. */
  breakWatches(): void {
    this.#generation++;
    for (const wake of this.#watchers) wake();
  }

  #kind(kind: KindName): Map<string, Stored> {
    let objects = this.#objects.get(kind);
    if (!objects) {
      objects = new Map();
      this.#objects.set(kind, objects);
    }
    return objects;
  }

  #available(): void {
    if (this.down) throw new StatusError(Code.unavailable, "down");
  }

  #put(kind: KindName, object: Stored, type: "ADDED" | "MODIFIED"): Stored {
    object.metadata ??= {};
    const removed =
      object.metadata.deletionTimestamp !== undefined &&
      (object.metadata.finalizers ?? []).length === 0 &&
      object.metadata.deletionGracePeriodSeconds === 0 &&
      (kind !== "Namespace" ||
        ((object.spec?.["finalizers"] as string[] | undefined) ?? []).length === 0);
    if (removed && type === "MODIFIED") {
      this.#remove(kind, object);
      return object;
    }
    object.metadata.resourceVersion = String(++this.revision);
    const stored = structuredClone(object);
    this.#kind(kind).set(keyOf(stored), stored);
    this.#note({ revision: this.revision, kind, type, object: structuredClone(stored) });
    return structuredClone(stored);
  }

  #remove(kind: KindName, object: Stored): void {
    this.#kind(kind).delete(keyOf(object));
    const last = structuredClone(object);
    last.metadata!.resourceVersion = String(++this.revision);
    this.#note({ revision: this.revision, kind, type: "DELETED", object: last });
  }

  #note(change: Change): void {
    this.#history.push(change);
    for (const wake of [...this.#watchers]) wake();
  }

  #begin(verb: string, kind: KindName, object: ApiObject, options: WriteOptions | undefined): void {
    this.#available();
    this.intercept?.(verb, kind, object);
    const { fence } = options ?? {};
    if (fence && String(this.#fences.get(fence.lease)) !== fence.token) {
      throw new StatusError(Code.failedPrecondition, "the fence has moved on");
    }
    this.written.push({
      verb,
      kind,
      key: keyOf(object),
      fence: fence && `${fence.lease}=${fence.token}`,
      object: structuredClone(object) as Stored,
    });
  }

  #stored(kind: KindName, key: string): Stored {
    const stored = this.#kind(kind).get(key);
    if (stored) return stored;
    throw new StatusError(Code.notFound, `${this.#row(kind).plural} "${key}" not found`, {
      reason: "NotFound",
      name: key.slice(key.indexOf("/") + 1),
    });
  }

  #nowText(): string {
    return `${new Date(this.#options.now?.() ?? Date.now()).toISOString().slice(0, 19)}Z`;
  }

  #create(kind: KindName, given: ApiObject, options?: WriteOptions): Stored {
    const object = structuredClone(given) as Stored;
    object.metadata = { ...object.metadata };
    if (!object.metadata.name && object.metadata.generateName) {
      object.metadata.name = `${object.metadata.generateName}${String(++this.#uids).padStart(5, "0")}`;
    }
    this.#begin("create", kind, object, options);
    const { namespace } = object.metadata;
    if (namespace && this.#kind("Namespace").get(namespace)?.metadata?.deletionTimestamp) {
      throw new StatusError(Code.permissionDenied, `namespace ${namespace} is being terminated`);
    }
    if (this.#kind(kind).has(keyOf(object))) {
      throw new StatusError(Code.alreadyExists, `${kind} "${keyOf(object)}" already exists`, {
        reason: "AlreadyExists",
      });
    }
    object.apiVersion = this.#row(kind).apiVersion;
    object.kind = kind;
    object.metadata.uid ??= `uid-${++this.#uids}`;
    object.metadata.creationTimestamp ??= this.#nowText();
    object.metadata.generation = 1;
    if (kind === "Namespace") {
      object.spec ??= { finalizers: ["kubernetes"] };
      object.status ??= { phase: "Active" };
    }
    if (kind === "Pod") object.status ??= { phase: "Pending" };
    this.#bumpFence(kind, undefined, object);
    return this.#put(kind, object, "ADDED");
  }

  #update(kind: KindName, given: ApiObject, status: boolean, options?: WriteOptions): Stored {
    this.#begin(status ? "updateStatus" : "update", kind, given, options);
    const stored = this.#stored(kind, keyOf(given));
    const wanted = given.metadata?.resourceVersion;
    if (wanted !== undefined && wanted !== stored.metadata?.resourceVersion) {
      throw new StatusError(Code.aborted, "the object has been modified", { reason: "Conflict" });
    }
    const next = structuredClone(status ? stored : (given as Stored));
    if (status) next.status = structuredClone((given as Stored).status) as Record<string, unknown>;
    else {
      if (stored.status !== undefined) next.status = stored.status;
      next.apiVersion = stored.apiVersion;
      next.kind = stored.kind;
      const { uid, creationTimestamp, deletionTimestamp, generation = 1 } = stored.metadata ?? {};
      next.metadata = { ...next.metadata, uid, creationTimestamp, deletionTimestamp };
      next.metadata.deletionGracePeriodSeconds = stored.metadata?.deletionGracePeriodSeconds;
      const changed = JSON.stringify(next.spec) !== JSON.stringify(stored.spec);
      next.metadata.generation = generation + (changed ? 1 : 0);
    }
    this.#bumpFence(kind, stored, next);
    return this.#put(kind, next, "MODIFIED");
  }

  #bumpFence(kind: KindName, before: Stored | undefined, after: Stored): void {
    if (kind !== "Lease" || before?.spec?.["holderIdentity"] === after.spec?.["holderIdentity"]) {
      return;
    }
    this.#fences.set(keyOf(after), this.revision + 1);
  }

  #patch(kind: KindName, key: string, patch: unknown, options?: WriteOptions): Stored {
    const stored = this.#stored(kind, key);
    this.#begin("patch", kind, stored, options);
    const { resourceVersion } = (patch as ApiObject).metadata ?? {};
    if (resourceVersion !== undefined && resourceVersion !== stored.metadata?.resourceVersion) {
      throw new StatusError(Code.aborted, "the object has been modified", { reason: "Conflict" });
    }
    const next = mergePatch(structuredClone(stored), patch) as Stored;
    return this.#put(kind, next, "MODIFIED");
  }

  #delete(kind: KindName, key: string, options: DeleteOptions = {}): void {
    const stored = structuredClone(this.#stored(kind, key));
    this.#begin("delete", kind, stored, options);
    const { preconditions } = options;
    if (preconditions?.uid && preconditions.uid !== stored.metadata?.uid) {
      throw new StatusError(Code.aborted, "another uid", { reason: "Conflict" });
    }
    const metadata = stored.metadata!;
    const finalizers = new Set(metadata.finalizers ?? []);
    if (options.propagationPolicy === "Foreground") finalizers.add("foregroundDeletion");
    if (options.propagationPolicy === "Orphan") finalizers.add("orphan");
    metadata.finalizers = [...finalizers];
    const graceful =
      kind === "Pod" &&
      this.#options.gracefulPods === true &&
      stored.spec?.["nodeName"] !== undefined &&
      options.gracePeriodSeconds !== 0;
    const namespaced =
      kind === "Namespace" && ((stored.spec?.["finalizers"] as string[]) ?? []).length > 0;
    if (finalizers.size === 0 && !graceful && !namespaced) {
      this.#remove(kind, stored);
      return;
    }
    if (metadata.deletionTimestamp !== undefined) return;
    metadata.deletionTimestamp = this.#nowText();
    metadata.deletionGracePeriodSeconds = graceful ? 30 : 0;
    if (kind === "Namespace") stored.status = { ...stored.status, phase: "Terminating" };
    this.#put(kind, stored, "MODIFIED");
  }

  async #bind(
    key: string,
    uid: string | undefined,
    binding: Binding,
    options?: WriteOptions,
  ): Promise<void> {
    const pod = structuredClone(this.#stored("Pod", key));
    this.#begin("bind", "Pod", pod, options);
    if (uid !== undefined && uid !== pod.metadata?.uid) {
      throw new StatusError(Code.aborted, "another uid", { reason: "Conflict" });
    }
    if (pod.spec?.["nodeName"]) {
      throw new StatusError(Code.aborted, "already bound", { reason: "Conflict" });
    }
    pod.spec = { ...pod.spec, nodeName: binding.target?.name };
    this.#put("Pod", pod, "MODIFIED");
  }

  #finalize(namespace: Namespace, options?: WriteOptions): Namespace {
    this.#begin("finalize", "Namespace", namespace, options);
    const stored = structuredClone(this.#stored("Namespace", namespace.metadata?.name ?? ""));
    stored.spec = { ...stored.spec, finalizers: namespace.spec?.finalizers ?? [] };
    return this.#put("Namespace", stored, "MODIFIED") as Namespace;
  }

  #resource<K extends KindName>(kind: K): ResourceClient<ObjectTypes[K]> {
    type T = ObjectTypes[K];
    const keyFor = (name: string, namespace?: string) =>
      this.#row(kind).namespaced && namespace ? `${namespace}/${name}` : name;
    const cast = (object: Stored) => object as unknown as T;
    return {
      get: async (name, namespace) => {
        this.#available();
        return cast(structuredClone(this.#stored(kind, keyFor(name, namespace))));
      },
      list: async (options = {}) => {
        this.#available();
        this.lists++;
        const all = [...this.#kind(kind).values()].filter((each) => selects(options, each));
        const from = Number(options.continue ?? 0);
        const to = options.limit ? from + options.limit : all.length;
        return {
          items: all.slice(from, to).map((each) => cast(structuredClone(each))),
          resourceVersion: String(this.revision),
          continue: to < all.length ? String(to) : undefined,
        };
      },
      watch: (options = {}) => this.#watch(kind, options) as AsyncIterable<WatchEvent<T>>,
      create: async (object, options) => cast(this.#create(kind, object, options)),
      update: async (object, options) => cast(this.#update(kind, object, false, options)),
      updateStatus: async (object, options) => cast(this.#update(kind, object, true, options)),
      patch: async (name, namespace, type, patch, options) => {
        if (type === "json") throw new StatusError(Code.unimplemented, "no JSON patch here");
        return cast(this.#patch(kind, keyFor(name, namespace), patch, options));
      },
      delete: async (name, namespace, options) =>
        this.#delete(kind, keyFor(name, namespace), options),
    };
  }

  async *#watch(kind: KindName, options: WatchOptions): AsyncGenerator<WatchEvent<Stored>> {
    this.#available();
    this.watches++;
    const from = Number(options.resourceVersion ?? 0);
    if (from > 0 && from < this.#compacted) {
      throw new StatusError(Code.outOfRange, "too old resource version", { reason: "Expired" });
    }
    const generation = this.#generation;
    let at = this.#history.findIndex(({ revision }) => revision > from);
    if (at < 0) at = this.#history.length;
    let wake = () => {};
    const call = () => wake();
    this.#watchers.add(call);
    options.signal?.addEventListener("abort", call);
    try {
      for (;;) {
        if (options.signal?.aborted) throw new StatusError(Code.cancelled, "cancelled");
        if (generation !== this.#generation || this.down) {
          throw new StatusError(Code.unavailable, "the master went away");
        }
        const change = this.#history[at];
        if (!change) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        at++;
        if (change.kind !== kind || !selects(options, change.object)) continue;
        yield { type: change.type, object: structuredClone(change.object) };
      }
    } finally {
      this.#watchers.delete(call);
      options.signal?.removeEventListener("abort", call);
    }
  }

  #dynamic(resource: TriremeClient["resource"]): DynamicClient {
    const of = (ref: ResourceRef) => {
      const row = this.#rows().find(
        ({ kind, plural, apiVersion }) =>
          (kind === ref.kind || plural === ref.resource) &&
          (ref.apiVersion === undefined || apiVersion === ref.apiVersion),
      );
      if (!row) {
        const text = `no kind ${ref.kind ?? ref.resource}`;
        throw new StatusError(Code.notFound, text, { reason: "NotFound" });
      }
      return resource(row.kind as KindName) as unknown as ResourceClient<JsonObject>;
    };
    const ofObject = ({ apiVersion, kind }: JsonObject) => of({ apiVersion, kind });
    return {
      discover: async () => {
        if (this.discoveryError) throw this.discoveryError;
        return this.#rows().map((row) => ({
          group: row.apiVersion.includes("/") ? row.apiVersion.split("/")[0] : "",
          version: row.apiVersion.split("/").at(-1),
          kind: row.kind,
          plural: row.plural,
          namespaced: row.namespaced,
          verbs: [
            ...["get", "list", "watch", "create", "update", "patch", "delete"],
            ...(this.#served.includes(row) ? [] : ["deletecollection"]),
          ],
        }));
      },
      get: (ref, name, namespace) => of(ref).get(name, namespace),
      list: (ref, options) => of(ref).list(options),
      watch: (ref, options) => of(ref).watch(options),
      create: (object, options) => ofObject(object).create(object, options),
      update: (object, options) => ofObject(object).update(object, options),
      updateStatus: (object, options) => ofObject(object).updateStatus(object, options),
      patch: (ref, name, namespace, type, patch, options) =>
        of(ref).patch(name, namespace, type, patch, options),
      async delete(ref, name, namespace, options) {
        await of(ref).delete(name, namespace, options);
        return { kind: "Status" };
      },
      async deleteCollection(ref, options) {
        const { items } = await of(ref).list(options);
        for (const { metadata } of items) {
          const { propagationPolicy, fence } = options;
          await of(ref).delete(metadata?.name ?? "", metadata?.namespace, {
            propagationPolicy,
            fence,
          });
        }
        return { kind: "Status" };
      },
    };
  }
}

function selects(options: ListOptions, object: Stored): boolean {
  if (options.namespace && object.metadata?.namespace !== options.namespace) return false;
  if (options.labelSelector) {
    const selector = parseLabelSelector(options.labelSelector);
    if (!matchesLabels(selector, object.metadata?.labels)) return false;
  }
  return (options.fieldSelector ?? "")
    .split(",")
    .filter(Boolean)
    .every((term) => {
      const [path = "", value] = term.split("=");
      let at: unknown = object;
      for (const part of path.split(".")) at = (at as Record<string, unknown> | undefined)?.[part];
      return (at ?? "") === value;
    });
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const isObject = typeof target === "object" && target !== null && !Array.isArray(target);
  const merged: Record<string, unknown> = isObject ? { ...(target as object) } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}
