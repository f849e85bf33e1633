import type { Binding, Eviction, LogsRequest } from "../../../../proto/gen/core.ts";
import { parseTime } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import { openSession, sessionOptions } from "../../nodes/exec.ts";
import { logs } from "../../nodes/logs.ts";
import { openForwarding } from "../../nodes/port-forward.ts";
import type { NodeServing } from "../../nodes/types.ts";
import type { Call } from "../../verbs/call.ts";
import { bind, evict } from "../../verbs/pods.ts";
import type { SubresourceHandler, SubresourceRequest, SubresourceRow } from "./table.ts";

export const podRows: readonly SubresourceRow[] = [
  {
    name: "binding",
    kind: { group: "", version: "v1", kind: "Binding" },
    verbs: {
      create: async ({ backend }, call, request) => ({
        document: await bind(
          backend,
          call,
          request.resource,
          objectIn<Binding>(request, "Binding"),
        ),
        status: 201,
      }),
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
  {
    name: "log",
    verbs: {
      get: async (serving, call, request) => {
        const chunks = logs(serving, call, request.resource, logsRequest(request));
        return {
          status: 200,
          headers: [["content-type", "text/plain"]],
          body: pieces(chunks),
        };
      },
    },
  },
];

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
    throw badRequest(`name in URL does not match name in ${kind} object: ${name}, ${given}`);
  }
  const within = object.metadata?.namespace || namespace;
  if (within !== namespace) {
    throw badRequest(`namespace in URL does not match namespace in ${kind} object`);
  }
  return { ...object, metadata: { ...object.metadata, name, namespace } };
}

function logsRequest({ query, name, namespace }: SubresourceRequest): LogsRequest {
  const container = query.get("container") || undefined;
  return {
    name,
    namespace,
    container,
    follow: truth(query, "follow"),
    previous: truth(query, "previous"),
    timestamps: truth(query, "timestamps"),
    tailLines: whole(query, "tailLines", 0),
    sinceSeconds: sinceSeconds(query),
    limitBytes: whole(query, "limitBytes", 1),
  };
}

function sinceSeconds(query: URLSearchParams): number | undefined {
  const seconds = whole(query, "sinceSeconds", 1);
  const since = query.get("sinceTime");
  if (since === null || since === "") return seconds;
  if (seconds !== undefined) {
    throw badRequest("PodLogOptions: at most one of sinceTime or sinceSeconds may be specified");
  }
  const millis = parseTime(since);
  if (millis === undefined)
    throw badRequest(`sinceTime: ${JSON.stringify(since)} is no RFC 3339 time`);
  return Math.max(1, Math.ceil((Date.now() - millis) / 1000));
}

function truth(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  return text !== "0" && text.toLowerCase() !== "false";
}

function whole(query: URLSearchParams, name: string, least: number): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (!/^-?\d{1,15}$/.test(text) || value < least) {
    throw badRequest(
      `PodLogOptions: ${name}: Invalid value: ${JSON.stringify(text)}: must be a whole number ` +
        `greater than or equal to ${least}`,
    );
  }
  return value;
}

async function* pieces(
  chunks: AsyncIterable<{ data?: Uint8Array | undefined }>,
): AsyncGenerator<Uint8Array, void> {
  for await (const { data } of chunks) if (data !== undefined) yield data;
}
