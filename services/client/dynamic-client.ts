import type { MethodDefinition } from "@grpc/grpc-js";
import type { Scale } from "../../proto/gen/autoscaling.ts";
import {
  type CreateRequest,
  type DiscoveredResource,
  DynamicService,
  type ResourceRef,
  type Document as WireDocument,
} from "../../proto/gen/dynamic.ts";
import {
  deleteRequest,
  listRequest,
  parseDocument,
  patchTypes,
  watchDocuments,
  watchRequest,
  wireOptions,
  writing,
} from "./resource-client.ts";
import type { ClientTransport } from "./transport.ts";
import type {
  ApiObject,
  CallOptions,
  DeleteOptions,
  ListOptions,
  ListResult,
  PatchType,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./types.ts";

/** An object of any kind. */
export interface JsonObject extends ApiObject {
  [field: string]: unknown;
}

/** Objects of any kind, custom ones included, as JSON documents. */
export interface DynamicClient {
  /** All kinds served; of one group (`""`: the core group) when given. */
  discover(group?: string, options?: CallOptions): Promise<readonly DiscoveredResource[]>;
  get(
    ref: ResourceRef,
    name: string,
    namespace?: string,
    options?: CallOptions,
  ): Promise<JsonObject>;
  list(ref: ResourceRef, options?: ListOptions): Promise<ListResult<JsonObject>>;
  watch(ref: ResourceRef, options?: WatchOptions): AsyncIterable<WatchEvent<JsonObject>>;
  create(object: JsonObject, options?: WriteOptions): Promise<JsonObject>;
  update(object: JsonObject, options?: WriteOptions): Promise<JsonObject>;
  updateStatus(object: JsonObject, options?: WriteOptions): Promise<JsonObject>;
  /** The replicas of a workload of any kind that has a scale. */
  getScale(
    ref: ResourceRef,
    name: string,
    namespace?: string,
    options?: CallOptions,
  ): Promise<Scale>;
  updateScale(ref: ResourceRef, scale: Scale, options?: WriteOptions): Promise<Scale>;
  patch(
    ref: ResourceRef,
    name: string,
    namespace: string | undefined,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions & { readonly subresource?: "status" },
  ): Promise<JsonObject>;
  /** Answers the object under deletion, or a Status. */
  delete(
    ref: ResourceRef,
    name: string,
    namespace?: string,
    options?: DeleteOptions,
  ): Promise<JsonObject>;
  deleteCollection(ref: ResourceRef, options: ListOptions & DeleteOptions): Promise<JsonObject>;
}

export function dynamicClient(transport: ClientTransport): DynamicClient {
  const ask = async (answer: Promise<WireDocument>, { onWarning }: WriteOptions = {}) => {
    const { json, warnings = [] } = await answer;
    for (const text of warnings) onWarning?.(text);
    return parseDocument(json) as JsonObject;
  };
  const write =
    (method: MethodDefinition<CreateRequest, WireDocument>) =>
    (object: JsonObject, options: WriteOptions = {}) => {
      const request = { json: stringify(object), options: wireOptions(options) };
      return ask(transport.unary(method, request, writing(options)), options);
    };
  return {
    async discover(group, options = {}) {
      const request = group === undefined ? {} : { group };
      const answer = await transport.unary(DynamicService.discover, request, options);
      return answer.resources ?? [];
    },
    get(ref, name, namespace, options = {}) {
      const get = { name, ...(namespace && { namespace }) };
      return ask(transport.unary(DynamicService.get, { ref, get }, options));
    },
    async list(ref, options = {}) {
      const request = { ref, list: listRequest(options) };
      const list = await ask(transport.unary(DynamicService.list, request, options));
      const metadata = list.metadata as { resourceVersion?: string; continue?: string } | undefined;
      return {
        items: (list["items"] as JsonObject[] | undefined) ?? [],
        resourceVersion: metadata?.resourceVersion ?? "",
        continue: metadata?.continue || undefined,
      };
    },
    async *watch(ref, options = {}) {
      const { changes, omit } = options;
      const partly = changes && omit !== undefined;
      const request = { ref, watch: watchRequest(options), ...(partly && { changes }) };
      for await (const batch of watchDocuments<JsonObject>(transport, request, options)) {
        yield* batch;
      }
    },
    create: write(DynamicService.create),
    update: write(DynamicService.update),
    updateStatus: write(DynamicService.updateStatus),
    getScale(ref, name, namespace, options = {}) {
      const get = { name, ...(namespace && { namespace }) };
      return transport.unary(DynamicService.getScale, { ref, get }, options);
    },
    updateScale(ref, scale, options = {}) {
      const request = { ref, write: { object: scale, options: wireOptions(options) } };
      return transport.unary(DynamicService.updateScale, request, writing(options));
    },
    patch(ref, name, namespace, type, patch, options = {}) {
      const request = {
        name,
        ...(namespace && { namespace }),
        patchType: patchTypes[type],
        patch: stringify(patch),
        ...(options.subresource && { subresource: options.subresource }),
        options: wireOptions(options),
      };
      const answer = transport.unary(
        DynamicService.patch,
        { ref, patch: request },
        writing(options),
      );
      return ask(answer, options);
    },
    delete(ref, name, namespace, options = {}) {
      const request = { ref, delete: deleteRequest(name, namespace, options) };
      return ask(transport.unary(DynamicService.delete, request, writing(options)));
    },
    deleteCollection(ref, options) {
      const { gracePeriodSeconds, propagationPolicy } = options;
      const deleteCollection = {
        selection: listRequest(options),
        ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
        ...(propagationPolicy && { propagationPolicy }),
        ...(options.dryRun && { dryRun: ["All"] }),
      };
      const request = { ref, deleteCollection };
      return ask(transport.unary(DynamicService.deleteCollection, request, writing(options)));
    },
  };
}

function stringify(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
