import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Event as CoreEvent } from "../../../proto/gen/core.ts";
import { Event, EventsService } from "../../../proto/gen/events.ts";
import { event as coreEvent, validateEvent } from "../core/event.ts";
import { invalid, required } from "../machinery/causes.ts";
import { defineKind } from "../machinery/define.ts";
import { unchanged } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import type { Document } from "../machinery/resource.ts";

/** The fields that the two versions name differently, the older name first. */
const renamed = [
  ["involvedObject", "regarding"],
  ["message", "note"],
  ["source", "deprecatedSource"],
  ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"],
  ["count", "deprecatedCount"],
  ["reportingComponent", "reportingController"],
] as const;

const toOlder = new Map<string, string>(renamed.map(([older, newer]) => [newer, older]));
const toNewer = new Map<string, string>(renamed);

function withNames(document: Document, names: ReadonlyMap<string, string>): Document {
  return Object.fromEntries(
    Object.entries(document).map(([name, value]) => [names.get(name) ?? name, value]),
  );
}

const asEvent = (document: Document): Event => document as Event;
const older = (document: Document): CoreEvent => withNames(document, toOlder) as CoreEvent;

export const event = defineKind({
  message: "trireme.events.v1.Event",
  codec: Event,
  service: EventsService,
  shortNames: ["ev"],
  timeToLiveSeconds: coreEvent.timeToLiveSeconds,
  storedAs: {
    resource: coreEvent,
    toStored: (document) => ({ ...withNames(document, toOlder), apiVersion: "v1", kind: "Event" }),
    fromStored: (document) => ({
      ...withNames(document, toNewer),
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
    }),
  },

  validate(document, stored) {
    const causes = validateEvent(older(document), "reportingController");
    // What the older API has written may stay as it is.
    return stored === undefined ? [...causes, ...validateNew(older(document))] : causes;
  },
  validateUpdate: (next, stored) => validateChange(older(next), older(stored)),
  selectableFields: {
    reason: (document) => asEvent(document).reason ?? "",
    "regarding.kind": (document) => asEvent(document).regarding?.kind ?? "",
    "regarding.namespace": (document) => asEvent(document).regarding?.namespace ?? "",
    "regarding.name": (document) => asEvent(document).regarding?.name ?? "",
    "regarding.uid": (document) => asEvent(document).regarding?.uid ?? "",
    "regarding.apiVersion": (document) => asEvent(document).regarding?.apiVersion ?? "",
    "regarding.resourceVersion": (document) => asEvent(document).regarding?.resourceVersion ?? "",
    "regarding.fieldPath": (document) => asEvent(document).regarding?.fieldPath ?? "",
    reportingController: (document) => asEvent(document).reportingController ?? "",
    type: (document) => asEvent(document).type ?? "",
  },
  columns: coreEvent.columns.map((column) => ({
    ...column,
    value: (document, now) => column.value(older(document) as Document, now),
  })),
});

/** What upstream asks of new events of this version alone; it names fields as the older one does. */
function validateNew(one: CoreEvent): FieldCause[] {
  const causes = validateSeries(one);
  const { type = "", source } = one;
  if (one.eventTime === undefined) causes.push(required("eventTime"));
  if (type !== "Normal" && type !== "Warning") {
    causes.push(invalid("type", "", `has invalid value: ${type}`));
  }
  const unset = "needs to be unset";
  if (one.firstTimestamp !== undefined) causes.push(invalid("firstTimestamp", "", unset));
  if (one.lastTimestamp !== undefined) causes.push(invalid("lastTimestamp", "", unset));
  if ((one.count ?? 0) !== 0) causes.push(invalid("count", "", unset));
  if (source?.component || source?.host) causes.push(invalid("source", "", unset));
  return causes;
}

function validateSeries({ series }: CoreEvent): FieldCause[] {
  if (series === undefined) return [];
  const causes: FieldCause[] = [];
  if ((series.count ?? 0) < 2) causes.push(invalid("series.count", "", "should be at least 2"));
  if (series.lastObservedTime === undefined) causes.push(required("series.lastObservedTime"));
  return causes;
}

const fixed = [
  ...(["involvedObject", "reason", "message", "source", "firstTimestamp"] as const),
  ...(["lastTimestamp", "count", "type", "eventTime", "action", "related"] as const),
  "reportingInstance",
] as const;

/** Only the series and the metadata change. */
function validateChange(next: CoreEvent, stored: CoreEvent): FieldCause[] {
  const { reportingComponent: controller } = stored;
  return [
    ...(equalJson(next.series, stored.series) ? [] : validateSeries(next)),
    ...fixed.flatMap((name) => unchanged(name, next[name], stored[name])),
    ...unchanged("reportingController", next.reportingComponent, controller),
  ];
}
