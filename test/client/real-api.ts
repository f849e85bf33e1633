/**
 * An apiserver in this process, for tests of what stands on the client: the real verbs, admission,
 * authorization and watch cache on the in-thread store, reached through the real codecs. A test
 * looks into it, breaks its connections, and stands in for kubelets and users.
 */
import { Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Clock } from "../../ha/runtime/types.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Revision, Store } from "../../ha/store/types.ts";
import { DynamicService } from "../../proto/gen/dynamic.ts";
import { createBackend } from "../../services/apiserver/apiserver.ts";
import { bootstrap } from "../../services/apiserver/bootstrap.ts";
import { objectKey } from "../../services/apiserver/storage/keys.ts";
import { createSelection } from "../../services/apiserver/storage/selection.ts";
import type { StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import {
  type ApiObject,
  createClient,
  isNotFound,
  type KindName,
  keyOf,
  kindNames,
  type ObjectTypes,
  resources,
  splitKey,
  type TriremeClient,
  type UnaryOptions,
} from "../../services/client/mod.ts";
import { builtInRegistry, defineResource, type Resource } from "../../services/kinds/mod.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { activity } from "./activity.ts";
import { DirectTransport } from "./direct-transport.ts";
import type { FakeClock } from "./fake-clock.ts";
import { settle } from "./fake-clock.ts";
import {
  admin,
  clientError,
  InProcessCall,
  InProcessServer,
  InProcessStream,
  metadataOf,
  type Subject,
} from "./in-process.ts";
import { quietLog } from "./quiet-log.ts";
import { serverClock } from "./server-clock.ts";

/** One write that the server did not refuse for its fence. */
export interface Written {
  readonly verb: string;
  readonly kind: string;
  readonly key: string;
  readonly fence: string | undefined;
  readonly object: ApiObject;
}

export interface RuntimeKind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export interface RealApiOptions {
  /** Absent: the real time. */
  readonly clock?: FakeClock;
}

type WriteRequest = ApiObject & {
  readonly object?: ApiObject;
  readonly json?: Uint8Array;
  readonly name?: string;
  readonly namespace?: string;
  readonly ref?: { readonly kind?: string };
  readonly delete?: WriteRequest;
  readonly patch?: WriteRequest;
};

const writeVerbs = [
  "create",
  "update",
  "updateStatus",
  "patch",
  "delete",
  "deleteCollection",
  "bind",
  "finalize",
];

export class RealApi {
  lists = 0;
  watches = 0;
  readonly written: Written[] = [];
  /** Throws what the test wants thrown before a write reaches the server. */
  intercept: ((verb: string, kind: string, object: ApiObject) => void) | undefined;
  /** Every watch and call of the clients fails while true. */
  down = false;
  /** What discovery answers with. */
  discoveryError: StatusError | undefined;
  readonly registry = builtInRegistry();
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #streams = new Set<InProcessStream>();
  readonly #test: TriremeClient;
  #server: InProcessServer;
  #changes: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#server = this.#newServer();
    this.#test = createClient(
      new DirectTransport((method, request, options) => {
        return this.#call(method, request, options);
      }),
    );
  }

  static async open(options: RealApiOptions = {}): Promise<RealApi> {
    const store = await openLocalStore({ ...memoryRuntime(), clock: productionClock });
    const { clock } = options;
    const api = new RealApi(store, clock === undefined ? productionClock : serverClock(clock));
    activity.servers++;
    await api.#begin();
    return api;
  }

  /** A client of this server, with the rights of `subject`; default: an administrator. */
  client(subject: Subject = admin): TriremeClient {
    return createClient(this.transport(subject));
  }

  transport(subject: Subject = admin): DirectTransport {
    return new DirectTransport(
      (method, request, options) => this.#clientCall(method, request, options, subject),
      (method, request, options) => this.#stream(method, request, options, subject),
    );
  }

  get<K extends KindName>(kind: K, key: string): ObjectTypes[K] | undefined {
    const { namespace = "", name } = splitKey(key);
    const resource = this.#resource(kind);
    const stored = this.#server.backend.cache
      .of(resource)
      .get(objectKey(resource, namespace, name));
    return stored && this.#decode(kind, stored);
  }

  all<K extends KindName>(kind: K): ObjectTypes[K][] {
    const resource = this.#resource(kind);
    const selection = createSelection(resource, { namespace: "" });
    const found = this.#server.backend.cache.of(resource).select(selection);
    return [...found].map((stored) => this.#decode(kind, stored));
  }

  /**
   * Changes an object as a kubelet or a user would: its spec and metadata by an update, its status by
   * an update of the status, a pod's node by a binding. Changes happen one after the other; the
   * promise need not be awaited where `settle` is.
   */
  change<K extends KindName>(
    kind: K,
    key: string,
    change: (object: ObjectTypes[K]) => void,
  ): Promise<void> {
    return this.#inOrder(() => this.#change(kind, key, change));
  }

  /** The kubelet says that the containers of a pod under deletion are gone. */
  finishPod(key: string): Promise<void> {
    const { namespace = "", name } = splitKey(key);
    return this.#inOrder(async () => {
      try {
        await this.#test.pods.delete(name, namespace, { gracePeriodSeconds: 0 });
        await this.#shown();
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    });
  }

  /** Serves a kind that is known only at run time. */
  serve({ apiVersion, kind, plural, namespaced }: RuntimeKind): void {
    const [group = "", version = ""] = apiVersion.split("/");
    this.registry.add(defineResource({ group, version, kind, plural, namespaced }));
  }

  withdraw(kind: string): void {
    this.registry.remove(this.#resource(kind));
  }

  /**
   * History up to now is forgotten, and another master answers that never held it: every watch from
   * an older revision expires.
   */
  async compact(): Promise<void> {
    await this.#changes;
    const { revision } = await this.#store.range({ key: Buffer.from("/") });
    await this.#store.compact(revision as Revision);
    const { backend } = this.#server;
    this.breakWatches();
    this.#server = this.#newServer();
    await this.#begin();
    await backend.cache.close();
  }

  /** All watches end with UNAVAILABLE, as on a failover. */
  breakWatches(): void {
    for (const stream of [...this.#streams]) stream.break(unavailable());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    activity.servers--;
    await this.#changes;
    await this.#server.close();
    await this.#store.close();
  }

  #newServer(): InProcessServer {
    const backend = createBackend({
      name: "master-0",
      store: this.#store,
      registry: this.registry,
      log: quietLog,
      clock: this.#clock,
    });
    return new InProcessServer(backend, quietLog, { intervalMillis: hearingMillis });
  }

  async #begin(): Promise<void> {
    const { backend } = this.#server;
    backend.cache.start();
    await backend.cache.whenFilled();
    await bootstrap(backend, new AbortController().signal);
    // Tests count the ConfigMaps that they make.
    for (const { metadata } of this.all("ConfigMap")) {
      const { name, namespace = "" } = metadata ?? {};
      await this.#test.configMaps.delete(name ?? "", namespace);
    }
    await settle();
  }

  #resource(kind: string): Resource {
    const resource = this.registry.find(kind.toLowerCase());
    if (resource === undefined) throw new Error(`no kind ${kind} is served`);
    return resource;
  }

  /** As a typed client gives it; a kind known at run time has only its document. */
  #decode<K extends KindName>(kind: K, stored: StoredObject): ObjectTypes[K] {
    if (!Object.hasOwn(resources, kind)) return stored.document as ObjectTypes[K];
    const { get } = resources[kind].service;
    return get.responseDeserialize(Buffer.from(stored.protobuf)) as ObjectTypes[K];
  }

  #inOrder(run: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(run);
    this.#changes = done.catch(() => {});
    return done;
  }

  async #change<K extends KindName>(
    kind: K,
    key: string,
    change: (object: ObjectTypes[K]) => void,
  ): Promise<void> {
    const { namespace = "", name } = splitKey(key);
    const client = this.#test.resource(kind);
    const before = await client.get(name, namespace);
    const wanted = structuredClone(before);
    change(wanted);
    type Parts = { spec?: { nodeName?: string }; status?: object; metadata?: object };
    const [old, next] = [before as Parts, wanted as Parts];
    if (kind === "Pod" && next.spec?.nodeName && !old.spec?.nodeName) {
      await this.#test.bind({ namespace, name }, next.spec.nodeName);
    }
    const { resourceVersion } = (await client.get(name, namespace)).metadata ?? {};
    let current: ObjectTypes[K] = { ...wanted, metadata: { ...wanted.metadata, resourceVersion } };
    const { status: _, ...written } = next;
    const { status: __, ...stored } = old;
    if (JSON.stringify(written) !== JSON.stringify(stored)) {
      const updated = await client.update(current);
      current = { ...current, metadata: updated.metadata };
    }
    if (JSON.stringify(next.status) !== JSON.stringify(old.status)) {
      // A controller may have answered to the first write before the second one.
      const metadata = { ...current.metadata, resourceVersion: undefined };
      await client.updateStatus({ ...current, metadata });
    }
    await this.#shown();
  }

  /** Resolves when `get` and `all` show what the store has. */
  async #shown(): Promise<void> {
    const { revision } = await this.#store.range({ key: Buffer.from("/") });
    await this.#server.backend.cache.waitFor(revision);
    activity.count++;
  }

  async #clientCall<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions,
    subject: Subject,
  ): Promise<Response> {
    if (this.down) throw new StatusError(Code.unavailable, "down");
    const verb = verbOf(method.path);
    if (verb === "list") this.lists++;
    if (verb === "discover" && this.discoveryError) throw this.discoveryError;
    // A review is created, but changes nothing.
    if (!writeVerbs.includes(verb) || method.path.includes("Reviews/")) {
      return this.#call(method, request, options, subject);
    }
    const { kind, object } = this.#writeOf(method.path, request as WriteRequest);
    this.intercept?.(verb, kind, object);
    const note = (named: ApiObject) => {
      const { fence } = options;
      const text = fence && `${fence.lease}=${fence.token}`;
      this.written.push({ verb, kind, key: keyOf(named), fence: text, object: named });
    };
    try {
      const answer = await this.#call(method, request, options, subject);
      await this.#shown();
      const { name } = (answer as ApiObject).metadata ?? {};
      note(name ? { ...object, metadata: { ...object.metadata, name } } : object);
      return answer;
    } catch (error) {
      if (StatusError.from(error).code !== Code.failedPrecondition) note(object);
      throw error;
    }
  }

  async #call<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions,
    subject: Subject = admin,
  ): Promise<Response> {
    const call = new InProcessCall(method.path, subject, metadataOf(options, undefined, 1));
    const cancel = () => call.cancel();
    activity.count++;
    options.signal?.addEventListener("abort", cancel, { once: true });
    try {
      return await this.#server.unary(method, request, call);
    } catch (thrown) {
      throw clientError(thrown);
    } finally {
      activity.count++;
      options.signal?.removeEventListener("abort", cancel);
    }
  }

  async *#stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions,
    subject: Subject,
  ): AsyncGenerator<Response, void, undefined> {
    if (this.down) throw new StatusError(Code.unavailable, "down");
    this.watches++;
    activity.count++;
    const call = new InProcessStream(method.path, subject, metadataOf(options, undefined, 1));
    const cancel = () => call.cancel();
    if (options.signal?.aborted) cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
    this.#streams.add(call);
    try {
      for await (const message of this.#server.stream(method, request, call)) {
        activity.count++;
        yield message;
      }
    } catch (thrown) {
      throw clientError(thrown);
    } finally {
      activity.count++;
      this.#streams.delete(call);
      options.signal?.removeEventListener("abort", cancel);
    }
  }

  /** The kind and the object that a write is about; of a delete or patch, the object as it is. */
  #writeOf(path: string, request: WriteRequest): { kind: string; object: ApiObject } {
    if (path.startsWith(dynamicPrefix)) {
      const { json, ref } = request;
      const object = json && (JSON.parse(Buffer.from(json).toString()) as ApiObject);
      const { name, namespace } = request.delete ?? request.patch ?? {};
      const kind = ref?.kind ?? object?.kind ?? "";
      return { kind, object: object ?? { kind, metadata: { name, namespace } } };
    }
    const kind = kindByService.get(serviceOf(path));
    if (kind === undefined) throw new Error(`${path} is no method of a kind`);
    if (request.object) return { kind, object: request.object };
    const { name, namespace } = request.metadata ?? request;
    const named = { metadata: { name, namespace } };
    return { kind, object: this.get(kind, keyOf(named)) ?? named };
  }
}

const dynamicPrefix = DynamicService.get.path.replace(/[^/]*$/, "");

function serviceOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function verbOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return name.charAt(0).toLowerCase() + name.slice(1);
}

const kindByService = new Map(
  kindNames.map((kind) => [serviceOf(resources[kind].service.get.path), kind] as const),
);

function unavailable(): Error {
  const fields = { code: Code.unavailable, details: "failover", metadata: new Metadata() };
  return Object.assign(new Error("failover"), fields);
}

/** No node beats here: to look for beats oftener costs a test that lasts for days many turns. */
const hearingMillis = 24 * 3_600_000;
