/** What becomes of the fields of a NodeLiveness. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const reader = "the node lifecycle controller";

export const nodeFields: SupportTable = {
  "trireme.node.v1.NodeLiveness": behaves(reader, "apiVersion kind metadata nodes observedTime"),
  "trireme.node.v1.NodeBeat": behaves(
    reader,
    "lastHeartbeatTime streamOpen streamClosedTime usage",
  ),
  "trireme.node.v1.NodeUsageSummary": behaves("the scheduler", "cpuMillis memoryBytes"),
};
