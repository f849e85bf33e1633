/** The verb pipeline on a store in memory, without a network. */
import assert from "node:assert/strict";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Store } from "../../ha/store/types.ts";
import { createBackend } from "../../services/apiserver/apiserver.ts";
import { bootstrap } from "../../services/apiserver/bootstrap.ts";
import { StoredObject } from "../../services/apiserver/storage/stored-object.ts";
import type { WatchItem } from "../../services/apiserver/storage/watch-item.ts";
import {
  type Backend,
  type Call,
  create,
  documentBody,
  internalCall,
} from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry, type Document, type Resource } from "../../services/kinds/mod.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";

export const quietLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => quietLog,
};

export const admin = { name: "admin", groups: ["system:masters", "system:authenticated"] };

export function adminCall(overrides: Partial<Call> = {}): Call {
  return { ...internalCall(admin), ...overrides };
}

export function callAs(name: string, ...groups: string[]): Call {
  return internalCall({ name, groups: [...groups, "system:authenticated"] });
}

/** The document of a stored object is every reader's: once a hook has changed it, the next reader fails. */
const { get: documentOf } =
  Object.getOwnPropertyDescriptor(StoredObject.prototype, "document") ?? {};
const texts = new WeakMap<Document, string>();
Object.defineProperty(StoredObject.prototype, "document", {
  get(this: StoredObject) {
    const document = documentOf?.call(this) as Document;
    const text = JSON.stringify(document);
    assert.equal(texts.get(document) ?? text, text, "a shared document has been changed");
    texts.set(document, text);
    return document;
  },
});

/** Shared by every backend of a test, unless the test brings its own. */
const registry = builtInRegistry();

export function kind(name: string): Resource {
  const found = registry.find(name);
  assert.ok(found, `kind ${name}`);
  return found;
}

export interface World extends AsyncDisposable {
  readonly store: Store;
  readonly backend: Backend;
  /** A second master on the same store. */
  another(): Promise<Backend>;
}

export async function world(
  options: Partial<Parameters<typeof createBackend>[0]> = {},
): Promise<World> {
  const store = options.store ?? (await openLocalStore(memoryRuntime()));
  const backends: Backend[] = [];
  const another = async () => {
    const backend = createBackend({ name: "master-0", store, log: quietLog, registry, ...options });
    backend.cache.start();
    backends.push(backend);
    await backend.cache.whenFilled();
    return backend;
  };
  const backend = await another();
  await bootstrap(backend, new AbortController().signal);
  return {
    store,
    backend,
    another,
    async [Symbol.asyncDispose]() {
      for (const each of backends) await each.cache.close();
      await store.close();
    },
  };
}

export function configMap(name: string, data: Record<string, string> = {}, extra = {}): Document {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", ...extra },
    data,
  };
}

export function pod(name: string, extra: object = {}, spec: object = {}): Document {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", ...extra },
    spec: { containers: [{ name: "main", image: "busybox" }], ...spec },
  };
}

export function service(name: string, spec: object = {}): Document {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { ports: [{ port: 80 }], ...spec },
  };
}

export function make(backend: Backend, document: Document, call = adminCall()) {
  const found = kind((document.kind ?? "").toLowerCase());
  return create(backend, call, found, { body: documentBody(structuredClone(document)) });
}

/** The error of a promise; fails when there is none. */
export async function failure(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (thrown) {
    assert.ok(thrown instanceof StatusError, String((thrown as Error).stack));
    return thrown;
  }
  assert.fail("it should have failed");
}

export async function fails(
  promise: Promise<unknown>,
  code: keyof typeof Code,
  message: string | RegExp,
): Promise<StatusError> {
  const error = await failure(promise);
  if (typeof message === "string") assert.equal(error.message, message);
  else assert.match(error.message, message);
  assert.equal(error.code, Code[code], error.message);
  return error;
}

/** Reads a watch in the background. */
export class Reader {
  readonly items: WatchItem[] = [];
  ended = false;
  error: StatusError | undefined;
  readonly #stream: AsyncIterableIterator<WatchItem>;
  readonly #abort: AbortController;
  readonly done: Promise<void>;

  constructor(stream: AsyncIterableIterator<WatchItem>, abort: AbortController) {
    this.#stream = stream;
    this.#abort = abort;
    this.done = this.#read();
  }

  async #read(): Promise<void> {
    try {
      for await (const item of this.#stream) this.items.push(item);
    } catch (thrown) {
      this.error = StatusError.from(thrown);
    }
    this.ended = true;
  }

  /** `TYPE name`, in order. */
  get story(): string[] {
    return this.items.map((item) =>
      `${item.type} ${item.object.document.metadata?.name ?? ""}`.trim(),
    );
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.done;
  }
}
