/** What becomes of the fields of a NodeLiveness and a RuntimeClass. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const reader = "the node lifecycle controller";

export const nodeFields: SupportTable = {
  "trireme.node.v1.NodeLiveness": behaves(reader, "apiVersion kind metadata nodes observedTime"),
  "trireme.node.v1.NodeBeat": behaves(
    reader,
    "lastHeartbeatTime streamOpen streamClosedTime usage",
  ),
  "trireme.node.v1.NodeUsageSummary": behaves(
    "the scheduler",
    "cpuMillis memoryBytes cpuPressurePermille",
  ),

  "trireme.node.v1.RuntimeClass": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion kind metadata"),
    ...behaves("admission gives it to the pods of the class", "overhead scheduling"),
    ...warned(
      "handler",
      "the kubelets of this cluster have no runtime handlers, containers of pods that name the " +
        "class will not start",
    ),
  },
  "trireme.node.v1.Overhead": behaves("admission gives it to the pods of the class", "podFixed"),
  "trireme.node.v1.Scheduling": behaves(
    "admission gives it to the pods of the class",
    "nodeSelector tolerations",
  ),
};
