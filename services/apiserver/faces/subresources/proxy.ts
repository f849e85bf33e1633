import {
  type ProxyAnswer,
  type ProxyRequest,
  proxyToPod,
  proxyToService,
} from "../../nodes/proxy.ts";
import type { NodeServing } from "../../nodes/types.ts";
import type { Call } from "../../verbs/call.ts";
import type { SubresourceHandler, SubresourceRow } from "./table.ts";

/** HTTP to a pod, or to one of a service's, whatever the method. */
export const podProxyRow = proxyRow("PodProxyOptions", proxyToPod);
export const serviceProxyRow = proxyRow("ServiceProxyOptions", proxyToService);

function proxyRow(
  kind: string,
  send: (serving: NodeServing, call: Call, request: ProxyRequest) => Promise<ProxyAnswer>,
): SubresourceRow {
  const handler: SubresourceHandler = (serving, call, { body, ...request }) =>
    send(serving, call, { ...request, body: body.bytes });
  return {
    name: "proxy",
    kind: { group: "", version: "v1", kind },
    verbs: { get: handler, create: handler, update: handler, patch: handler, delete: handler },
  };
}
