import type { Binding, Eviction } from "../../../../proto/gen/core.ts";
import { ephemeralContainersPart, resizePart } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import { openSession, sessionOptions } from "../../nodes/exec.ts";
import { logsRequestOf } from "../../nodes/log-options.ts";
import { logSource, logsOf } from "../../nodes/logs.ts";
import { openForwarding } from "../../nodes/port-forward.ts";
import type { NodeServing } from "../../nodes/types.ts";
import type { Call } from "../../verbs/call.ts";
import { get } from "../../verbs/get.ts";
import { type ObjectPart, patchPart, updatePart } from "../../verbs/part.ts";
import { bind, evict } from "../../verbs/pods.ts";
import { podProxyRow } from "./proxy.ts";
import type { SubresourceHandler, SubresourceRequest, SubresourceRow } from "./table.ts";

export const podRows: readonly SubresourceRow[] = [
  {
    name: "binding",
    kind: { group: "", version: "v1", kind: "Binding" },
    verbs: {
      create: async ({ backend }, call, request) => {
        const binding = objectIn<Binding>(request, "Binding");
        const status = await bind(backend, call, request.resource, binding, request.options);
        return { document: { ...status, code: 201 }, status: 201 };
      },
    },
  },
  {
    name: "eviction",
    kind: { group: "policy", version: "v1", kind: "Eviction" },
    verbs: {
      create: async ({ backend }, call, request) => {
        const eviction = objectIn<Eviction>(request, "Eviction");
        await evict(backend, call, request.resource, eviction);
        const document = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" };
        return { document: { ...document, code: 201 }, status: 201 };
      },
    },
  },
  streamRow("attach", "PodAttachOptions", async (serving, call, { resource, verb, ...request }) => {
    const options = sessionOptions("attach", request);
    await openSession(serving, call, resource, "attach", verb, options);
  }),
  streamRow("exec", "PodExecOptions", async (serving, call, { resource, verb, ...request }) => {
    const options = sessionOptions("exec", request);
    await openSession(serving, call, resource, "exec", verb, options);
  }),
  streamRow("portforward", "PodPortForwardOptions", async (serving, call, request) => {
    await openForwarding(serving, call, request.resource, request.verb, request);
  }),
  partRow(ephemeralContainersPart),
  partRow(resizePart),
  podProxyRow,
  {
    name: "log",
    verbs: {
      get: async (serving, call, request) => {
        const wanted = logsRequestOf(request);
        const { pod, container } = await logSource(serving, call, request.resource, wanted);
        // A pod that has no node yet has written nothing.
        if (!pod.spec.nodeName) return { status: 204, headers: [], body: new Uint8Array() };
        const chunks = logsOf(serving, call, pod, { ...wanted, container });
        return {
          status: 200,
          headers: [["content-type", "text/plain"]],
          body: pieces(chunks),
        };
      },
    },
  },
];

/** A subresource that is one part of the pod. */
function partRow(part: ObjectPart): SubresourceRow {
  return {
    name: part.name,
    verbs: {
      get: async ({ backend }, call, { resource, namespace, name, query }) => {
        const request = { name, namespace, resourceVersion: query.get("resourceVersion") ?? "" };
        return { object: await get(backend, call, resource, request, part.name) };
      },
      update: async ({ backend }, call, { resource, body, namespace, options }) => {
        const write = { body, namespace, options };
        return { object: await updatePart(backend, call, resource, part, write) };
      },
      patch: async ({ backend }, call, request) => {
        const { resource, namespace, name, contentType, body, options } = request;
        const object = await patchPart(backend, call, resource, part, {
          ...{ name, namespace, patchType: contentType, options },
          patch: Buffer.from(body.bytes),
        });
        return { object };
      },
    },
  };
}

/**
 * A subresource that lives on upgraded connections (faces/rest/streams). Any other request is
 * refused, after everything else has been checked.
 */
function streamRow(
  name: string,
  kind: string,
  check: (serving: NodeServing, call: Call, request: SubresourceRequest) => Promise<void>,
): SubresourceRow {
  const refuse: SubresourceHandler = async (serving, call, request) => {
    await check(serving, call, request);
    throw badRequest("Upgrade request required");
  };
  return {
    name,
    kind: { group: "", version: "v1", kind },
    verbs: { get: refuse, create: refuse },
  };
}

/** The object in a body; it is about the pod that the path names. Throws BadRequest. */
function objectIn<T extends Binding | Eviction>(request: SubresourceRequest, kind: string): T {
  const value = request.content();
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest(`the body is no ${kind}`);
  }
  const object = value as T;
  if (object.kind !== undefined && object.kind !== kind) {
    throw badRequest(`the body is Kind=${JSON.stringify(object.kind)}, must be Kind=${kind}`);
  }
  const { name, namespace } = request;
  const given = object.metadata?.name ?? name;
  if (given !== name) {
    throw badRequest(`name in URL does not match name in ${kind} object`);
  }
  const within = object.metadata?.namespace || namespace;
  if (within !== namespace) {
    throw badRequest(`namespace in URL does not match namespace in ${kind} object`);
  }
  return { ...object, metadata: { ...object.metadata, name, namespace } };
}

async function* pieces(
  chunks: AsyncIterable<{ data?: Uint8Array | undefined }>,
): AsyncGenerator<Uint8Array, void> {
  for await (const { data } of chunks) if (data !== undefined) yield data;
}
