import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Event, EventsService } from "../../../proto/gen/core.ts";
import { invalid, required } from "../machinery/causes.ts";
import { defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkQualifiedName } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { age } from "../machinery/time.ts";

/** Of the reason, the action and the reporting instance. */
const nameLengthMax = 128;
const messageLengthMax = 1024;

const asEvent = (document: Document): Event => document as Event;

export const event = defineKind({
  message: "trireme.core.v1.Event",
  codec: Event,
  service: EventsService,
  createOnUpdate: true,
  shortNames: ["ev"],
  // Upstream `--event-ttl`.
  timeToLiveSeconds: 3_600,
  // Upstream asks of events of this version no more than that the name fits into a path.
  nameRule: "path",

  validate: (document) => validateEvent(asEvent(document), "reportingComponent"),
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
  indexedFields: ["involvedObject.uid", "involvedObject.name"],
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
      description: "How often it has happened.",
      wide: true,
      value: (document) => String(countOf(asEvent(document))),
    },
    { ...nameColumn, wide: true },
  ],
});

/**
 * Upstream `legacyValidateEvent`: what both versions ask of an event. `reporter`: the name that the
 * version gives to the field of the controller.
 */
export function validateEvent(event: Event, reporter: string): FieldCause[] {
  const namespace = event.metadata?.namespace ?? "";
  const involved = event.involvedObject?.namespace ?? "";
  const isNewer = event.eventTime !== undefined;
  // Events about cluster-scoped objects live in the namespace "default".
  const homes = isNewer ? ["default", "kube-system"] : ["", "default"];
  const matches = involved === "" ? homes.includes(namespace) : isNewer || involved === namespace;
  const causes: FieldCause[] = [];
  if (!matches) {
    const detail = "does not match event.namespace";
    causes.push(invalid("involvedObject.namespace", involved, detail));
  }
  return isNewer ? [...causes, ...validateNewer(event, reporter)] : causes;
}

function validateNewer(event: Event, field: string): FieldCause[] {
  const { reportingComponent: controller = "", reportingInstance: instance = "" } = event;
  const { reason = "", message = "", action = "" } = event;
  return [
    ...(controller === "" ? [required(field)] : []),
    ...wrong(field, controller, checkQualifiedName(controller)),
    ...(instance === "" ? [required("reportingInstance")] : []),
    ...atMost("reportingInstance", instance, nameLengthMax),
    ...(action === "" ? [required("action")] : []),
    ...atMost("action", action, nameLengthMax),
    ...(reason === "" ? [required("reason")] : []),
    ...atMost("reason", reason, nameLengthMax),
    ...atMost("message", message, messageLengthMax),
  ];
}

function atMost(field: string, text: string, bytesMax: number): FieldCause[] {
  if (Buffer.byteLength(text) <= bytesMax) return [];
  return [invalid(field, "", `can have at most ${bytesMax} characters`)];
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
