/** What becomes of the fields of an EndpointSlice. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const information = "information for clients";

export const discoveryFields: SupportTable = {
  "trireme.discovery.v1.EndpointSlice": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion metadata"),
    ...warned("kind", "kube-proxy reads Endpoints and no slices, the object directs no traffic"),
    ...behaves(information, "addressType endpoints ports"),
  },
  "trireme.discovery.v1.Endpoint": {
    ...behaves(information, "addresses conditions hostname targetRef nodeName zone hints"),
    ...warned("deprecatedTopology", "deprecated, it is not stored"),
  },
  "trireme.discovery.v1.EndpointConditions": behaves(information, "ready serving terminating"),
  "trireme.discovery.v1.EndpointHints": behaves(information, "forZones forNodes"),
  "trireme.discovery.v1.ForZone": behaves(information, "name"),
  "trireme.discovery.v1.ForNode": behaves(information, "name"),
  "trireme.discovery.v1.EndpointPort": behaves(information, "name protocol port appProtocol"),
};
