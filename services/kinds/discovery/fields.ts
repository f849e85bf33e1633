/** What becomes of the fields of an EndpointSlice. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const proxy = "kube-proxy";
const information = "information for clients";

export const discoveryFields: SupportTable = {
  "trireme.discovery.v1.EndpointSlice": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion metadata"),
    ...behaves("the apiserver: type, name and metadata of an object", "kind"),
    ...behaves(proxy, "addressType endpoints ports"),
  },
  "trireme.discovery.v1.Endpoint": {
    ...behaves(proxy, "addresses conditions nodeName hints"),
    ...behaves("the cluster's DNS", "hostname"),
    ...behaves(information, "targetRef zone"),
    ...warned("deprecatedTopology", "deprecated, it is not stored"),
  },
  "trireme.discovery.v1.EndpointConditions": behaves(proxy, "ready serving terminating"),
  "trireme.discovery.v1.EndpointHints": behaves(proxy, "forZones forNodes"),
  "trireme.discovery.v1.ForZone": behaves(proxy, "name"),
  "trireme.discovery.v1.ForNode": behaves(proxy, "name"),
  "trireme.discovery.v1.EndpointPort": {
    ...behaves(proxy, "name protocol port"),
    ...behaves(information, "appProtocol"),
  },
};
