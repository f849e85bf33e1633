import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Event, EventsService } from "../../../proto/gen/core.ts";
import { invalid, required } from "../machinery/causes.ts";
import { defineKind, nameColumn } from "../machinery/define.ts";
import type { Document } from "../machinery/resource.ts";
import { age } from "../machinery/time.ts";
import { oneOf } from "./pod/field-checks.ts";

const reasonLengthMax = 128;
const messageLengthMax = 1024;

const asEvent = (document: Document): Event => document as Event;

export const event = defineKind({
  message: "trireme.core.v1.Event",
  codec: Event,
  service: EventsService,
  shortNames: ["ev"],
  // Upstream `--event-ttl`.
  timeToLiveSeconds: 3_600,

  validate: (document) => validateEvent(asEvent(document)),
  selectableFields: {
    "involvedObject.kind": (document) => asEvent(document).involvedObject?.kind ?? "",
    "involvedObject.namespace": (document) => asEvent(document).involvedObject?.namespace ?? "",
    "involvedObject.name": (document) => asEvent(document).involvedObject?.name ?? "",
    "involvedObject.uid": (document) => asEvent(document).involvedObject?.uid ?? "",
    "involvedObject.apiVersion": (document) => asEvent(document).involvedObject?.apiVersion ?? "",
    "involvedObject.resourceVersion": (document) =>
      asEvent(document).involvedObject?.resourceVersion ?? "",
    "involvedObject.fieldPath": (document) => asEvent(document).involvedObject?.fieldPath ?? "",
    reason: (document) => asEvent(document).reason ?? "",
    reportingComponent: (document) => asEvent(document).reportingComponent ?? "",
    source: (document) => sourceOf(asEvent(document)),
    type: (document) => asEvent(document).type ?? "",
  },
  columns: [
    {
      name: "Last Seen",
      description: "Time since it happened last.",
      value: (document, now) => age(lastSeen(asEvent(document)), now),
    },
    {
      name: "Type",
      description: "Normal or Warning.",
      value: (document) => asEvent(document).type ?? "",
    },
    {
      name: "Reason",
      description: "Why it happened, as one word for programs.",
      value: (document) => asEvent(document).reason ?? "",
    },
    {
      name: "Object",
      description: "What it is about.",
      value: (document) => objectText(asEvent(document)),
    },
    {
      name: "Subobject",
      description: "The part of the object that it is about.",
      wide: true,
      value: (document) => asEvent(document).involvedObject?.fieldPath ?? "",
    },
    {
      name: "Source",
      description: "The component that reports it.",
      wide: true,
      value: (document) => sourceText(asEvent(document)),
    },
    {
      name: "Message",
      description: "What happened, for people.",
      value: (document) => (asEvent(document).message ?? "").trim(),
    },
    {
      name: "First Seen",
      description: "Time since it happened first.",
      wide: true,
      value: (document, now) => age(firstSeen(asEvent(document)), now),
    },
    {
      name: "Count",
      type: "integer",
      description: "How often it has happened.",
      wide: true,
      value: (document) => String(countOf(asEvent(document))),
    },
    { ...nameColumn, wide: true },
  ],
});

function validateEvent(event: Event): FieldCause[] {
  const causes: FieldCause[] = [];
  const namespace = event.metadata?.namespace ?? "";
  const involved = event.involvedObject?.namespace ?? "";
  // Events about cluster-scoped objects live in the namespace "default".
  const matches = involved === "" ? ["", "default"].includes(namespace) : involved === namespace;
  if (!matches) {
    const detail = "does not match event.namespace";
    causes.push(invalid("involvedObject.namespace", involved, detail));
  }
  if (event.eventTime === undefined) return causes;
  // From here on the newer form, events.k8s.io, which upstream checks more strictly.
  const { reason = "", message = "", action = "", type = "" } = event;
  if (!event.reportingComponent) causes.push(required("reportingController"));
  if (!event.reportingInstance) causes.push(required("reportingInstance"));
  if (action === "") causes.push(required("action"));
  if (reason === "") causes.push(required("reason"));
  if (reason.length > reasonLengthMax) {
    causes.push(invalid("reason", reason, `can have at most ${reasonLengthMax} characters`));
  }
  if (message.length > messageLengthMax) {
    const detail = `can have at most ${messageLengthMax} characters`;
    causes.push(invalid("message", message, detail));
  }
  return [...causes, ...oneOf(type, ["Normal", "Warning"], "type")];
}

function lastSeen(event: Event): string | undefined {
  return (
    event.series?.lastObservedTime ??
    event.lastTimestamp ??
    event.eventTime ??
    event.firstTimestamp ??
    event.metadata?.creationTimestamp
  );
}

function firstSeen(event: Event): string | undefined {
  return event.firstTimestamp ?? event.eventTime ?? event.metadata?.creationTimestamp;
}

function countOf(event: Event): number {
  return event.series?.count ?? event.count ?? 1;
}

function objectText({ involvedObject = {} }: Event): string {
  const { kind = "", name = "" } = involvedObject;
  return name === "" ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`;
}

function sourceOf(event: Event): string {
  return event.source?.component ?? event.reportingComponent ?? "";
}

function sourceText(event: Event): string {
  const host = event.source?.host ?? event.reportingInstance;
  return host ? `${sourceOf(event)}, ${host}` : sourceOf(event);
}
