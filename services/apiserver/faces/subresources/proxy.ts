import { proxied } from "../../nodes/proxy.ts";
import type { SubresourceHandler, SubresourceRow } from "./table.ts";

/** HTTP to a kubelet, a pod, or one of a service's pods, whatever the method. */
export const nodeProxyRow = proxyRow("NodeProxyOptions");
export const podProxyRow = proxyRow("PodProxyOptions");
export const serviceProxyRow = proxyRow("ServiceProxyOptions");

function proxyRow(kind: string): SubresourceRow {
  const handler: SubresourceHandler = async (serving, call, { body, ...request }) =>
    proxied(serving, call, { ...request, body: body.bytes });
  return {
    name: "proxy",
    kind: { group: "", version: "v1", kind },
    verbs: { get: handler, create: handler, update: handler, patch: handler, delete: handler },
  };
}
