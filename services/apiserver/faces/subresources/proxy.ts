import {
  type ProxyAnswer,
  type ProxyRequest,
  proxyToNode,
  proxyToPod,
  proxyToService,
} from "../../nodes/proxy.ts";
import type { NodeServing } from "../../nodes/types.ts";
import type { Call } from "../../verbs/call.ts";
import type { SubresourceHandler, SubresourceRow } from "./table.ts";

/** HTTP to a kubelet, a pod, or one of a service's pods, whatever the method. */
export const nodeProxyRow = proxyRow("NodeProxyOptions", proxyToNode);
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
