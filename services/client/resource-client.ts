import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import {
  DynamicService,
  type WatchEvent as DynamicWatchEvent,
  type WatchRequest as DynamicWatchRequest,
} from "../../proto/gen/dynamic.ts";
import type {
  DeleteRequest,
  ListRequest,
  WatchRequest,
  WriteOptions as WireWriteOptions,
} from "../../proto/gen/meta.ts";
import type { Resource } from "./resources.ts";
import type { ClientTransport, UnaryOptions } from "./transport.ts";
import type {
  ApiObject,
  CallOptions,
  DeleteOptions,
  ListOptions,
  ListResult,
  PatchType,
  ResourceClient,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./types.ts";

/** The typed client of one kind: translates options, nothing else. */
export class TypedResourceClient<T extends ApiObject> implements ResourceClient<T> {
  readonly #resource: Resource<T>;
  readonly #transport: ClientTransport;

  constructor(resource: Resource<T>, transport: ClientTransport) {
    this.#resource = resource;
    this.#transport = transport;
  }

  get(name: string, namespace?: string, options: CallOptions = {}): Promise<T> {
    const request = { name, ...this.#namespace(namespace) };
    return this.#transport.unary(this.#resource.service.get, request, options);
  }

  async list(options: ListOptions = {}): Promise<ListResult<T>> {
    const request = listRequest({ ...options, ...this.#namespace(options.namespace) });
    const answer = await this.#transport.unary(this.#resource.service.list, request, options);
    return {
      items: answer.items ?? [],
      resourceVersion: answer.metadata?.resourceVersion ?? "",
      continue: answer.metadata?.continue || undefined,
    };
  }

  async *watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent<T>, void, undefined> {
    for await (const batch of this.watchBatches(options)) yield* batch;
  }

  watchBatches(options: WatchOptions = {}): AsyncIterable<readonly WatchEvent<T>[]> {
    const request = watchRequest({ ...options, ...this.#namespace(options.namespace) });
    const asJson = options.omit !== undefined && this.#transport.watchesJson === true;
    return asJson ? this.#watchJson(request, options) : this.#watchTyped(request, options);
  }

  /** A message of the kind is the JSON document, field for field. */
  #watchJson(
    request: WatchRequest,
    options: WatchOptions,
  ): AsyncIterable<readonly WatchEvent<T>[]> {
    const { apiVersion, objectKind: kind } = this.#resource;
    const { changes } = options;
    const ref = { apiVersion, kind };
    return watchDocuments<T>(this.#transport, { ref, watch: request, changes }, options);
  }

  async *#watchTyped(
    request: WatchRequest,
    options: WatchOptions,
  ): AsyncGenerator<readonly WatchEvent<T>[], void, undefined> {
    const events = this.#transport.stream(this.#resource.service.watch, request, options);
    for await (const event of events) {
      if (event.type && event.object) {
        yield [{ type: event.type as WatchEvent<T>["type"], object: event.object }];
      }
    }
  }

  create(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#write(this.#resource.service.create, object, options);
  }

  update(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#write(this.#resource.service.update, object, options);
  }

  updateStatus(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#write(this.#resource.service.updateStatus, object, options);
  }

  patch(
    name: string,
    namespace: string | undefined,
    type: PatchType,
    patch: unknown,
    options: WriteOptions & { readonly subresource?: "status" } = {},
  ): Promise<T> {
    const request = {
      name,
      ...this.#namespace(namespace),
      patchType: patchTypes[type],
      patch: Buffer.from(JSON.stringify(patch)),
      ...(options.subresource && { subresource: options.subresource }),
      options: wireOptions(options),
    };
    return this.#transport.unary(this.#resource.service.patch, request, writing(options));
  }

  async delete(name: string, namespace?: string, options: DeleteOptions = {}): Promise<void> {
    const request = deleteRequest(name, this.#namespace(namespace).namespace, options);
    await this.#transport.unary(this.#resource.service.delete, request, writing(options));
  }

  #write(method: Resource<T>["service"]["create"], object: T, options: WriteOptions): Promise<T> {
    const { apiVersion, objectKind } = this.#resource;
    return this.#transport.unary(
      method,
      { object: { apiVersion, kind: objectKind, ...object }, options: wireOptions(options) },
      writing(options),
    );
  }

  #namespace(namespace: string | undefined): { namespace?: string } {
    return this.#resource.namespaced && namespace ? { namespace } : {};
  }
}

export const patchTypes: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
};

export function writing(options: WriteOptions): UnaryOptions {
  return { ...options, write: true };
}

export function wireOptions(options: WriteOptions): WireWriteOptions {
  const { fieldManager } = options;
  return {
    ...(options.dryRun && { dryRun: ["All"] }),
    ...(fieldManager !== undefined && { fieldManager }),
  };
}

export function listRequest(options: ListOptions): ListRequest {
  if (options.limit !== undefined && !(Number.isInteger(options.limit) && options.limit >= 0)) {
    throw new StatusError(Code.invalidArgument, `limit: ${options.limit} is not a whole number`);
  }
  return {
    ...selection(options),
    ...(options.limit !== undefined && { limit: options.limit }),
    ...(options.continue && { continue: options.continue }),
  };
}

function selection(
  options: WatchOptions,
): Pick<ListRequest, "namespace" | "labelSelector" | "fieldSelector" | "resourceVersion"> {
  return {
    ...(options.namespace && { namespace: options.namespace }),
    ...(options.labelSelector && { labelSelector: options.labelSelector }),
    ...(options.fieldSelector && { fieldSelector: options.fieldSelector }),
    ...(options.resourceVersion !== undefined && { resourceVersion: options.resourceVersion }),
  };
}

export function watchRequest(options: WatchOptions): WatchRequest {
  return {
    ...selection(options),
    ...(options.allowBookmarks && { allowWatchBookmarks: true }),
    ...(options.timeoutSeconds !== undefined && { timeoutSeconds: options.timeoutSeconds }),
  };
}

/** Events of the Dynamic service. */
export async function* watchDocuments<T extends ApiObject>(
  transport: ClientTransport,
  request: DynamicWatchRequest,
  options: WatchOptions,
): AsyncGenerator<readonly WatchEvent<T>[], void, undefined> {
  const { watch } = DynamicService;
  if (transport.batches === undefined) {
    for await (const event of transport.stream(watch, request, options)) yield [documentOf(event)];
    return;
  }
  for await (const batch of transport.batches(watch, request, options)) {
    yield batch.map((event) => documentOf<T>(event));
  }
}

function documentOf<T extends ApiObject>({ type, json, base }: DynamicWatchEvent): WatchEvent<T> {
  const event = { type: type as WatchEvent<T>["type"], object: parseDocument(json) as T };
  return base ? { ...event, base } : event;
}

/** Throws Internal for what is no document. */
export function parseDocument(json: Uint8Array | undefined): ApiObject {
  if (json === undefined || json.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString("utf8"));
  } catch (error) {
    throw new StatusError(Code.internal, "the server answered with bad JSON", undefined, {
      cause: error,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new StatusError(Code.internal, "the server answered with JSON that is no object");
  }
  return value;
}

export function deleteRequest(
  name: string,
  namespace: string | undefined,
  options: DeleteOptions,
): DeleteRequest {
  return {
    name,
    ...(namespace && { namespace }),
    ...(options.gracePeriodSeconds !== undefined && {
      gracePeriodSeconds: options.gracePeriodSeconds,
    }),
    ...(options.propagationPolicy && { propagationPolicy: options.propagationPolicy }),
    ...(options.preconditions && { preconditions: options.preconditions }),
    ...(options.dryRun && { dryRun: ["All"] }),
  };
}
