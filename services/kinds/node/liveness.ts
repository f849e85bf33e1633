import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { NodeLiveness, NodeLivenessesService } from "../../../proto/gen/node.ts";
import { invalid } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { checkSubdomain } from "../machinery/names.ts";
import { age, parseTime } from "../machinery/time.ts";

export const nodeLiveness = defineKind({
  message: "trireme.node.v1.NodeLiveness",
  codec: NodeLiveness,
  service: NodeLivenessesService,

  validate(document) {
    const { nodes = {}, observedTime } = document as NodeLiveness;
    const causes: FieldCause[] = [];
    const checkTime = (field: string, time: string | undefined): void => {
      if (time === undefined || parseTime(time) !== undefined) return;
      causes.push(invalid(field, time, "must be an RFC 3339 time"));
    };
    checkTime("observedTime", observedTime);
    for (const [name, beat] of Object.entries(nodes)) {
      const at = `nodes[${name}]`;
      for (const problem of checkSubdomain(name)) causes.push(invalid(at, name, problem));
      checkTime(`${at}.lastHeartbeatTime`, beat.lastHeartbeatTime);
      checkTime(`${at}.streamClosedTime`, beat.streamClosedTime);
    }
    return causes;
  },
  columns: [
    nameColumn,
    {
      name: "Nodes",
      value: (document) => String(Object.keys((document as NodeLiveness).nodes ?? {}).length),
    },
    {
      name: "Observed",
      value: (document, now) => age((document as NodeLiveness).observedTime, now),
    },
    ageColumn,
  ],
});
