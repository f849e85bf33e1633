/** What becomes of the fields of an Event of events.k8s.io. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const information = "information for clients";

export const eventsFields: SupportTable = {
  "trireme.events.v1.Event": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion kind metadata"),
    ...behaves(information, "eventTime series reportingController reportingInstance action"),
    ...behaves(information, "reason regarding related note type deprecatedSource"),
    ...behaves(information, "deprecatedFirstTimestamp deprecatedLastTimestamp deprecatedCount"),
  },
  "trireme.events.v1.EventSeries": behaves(information, "count lastObservedTime"),
};
