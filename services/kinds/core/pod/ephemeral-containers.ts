/** Containers added to a running pod, by a subresource of its own (upstream's rules for it). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { EphemeralContainer, Pod, PodSpec } from "../../../../proto/gen/core.ts";
import { forbidden, notFound } from "../../machinery/causes.ts";
import { equalJson } from "../../machinery/json.ts";
import type { Document } from "../../machinery/resource.ts";

const path = "spec.ephemeralContainers";
/** They may not be relied on for a pod's service. */
const notAllowed = [
  "ports",
  "resources",
  "resizePolicy",
  "restartPolicy",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
] as const;
const notAllowedText = "cannot be set for an Ephemeral Container";

/** The subresource: of what is sent, nothing but these containers counts. */
export const ephemeralContainersPart = {
  name: "ephemeralcontainers",
  take(next: Document, incoming: Document): void {
    const pod = next as Pod;
    const containers = (incoming as Pod).spec?.ephemeralContainers;
    pod.spec ??= {};
    if (containers === undefined) delete pod.spec.ephemeralContainers;
    else pod.spec.ephemeralContainers = containers;
  },
  validate: (next: Document, stored: Document): FieldCause[] =>
    validateEphemeralUpdate((next as Pod).spec ?? {}, (stored as Pod).spec ?? {}),
};

function validateEphemeralUpdate(next: PodSpec, stored: PodSpec): FieldCause[] {
  const wanted = new Map((next.ephemeralContainers ?? []).map((each) => [each.name, each]));
  const kept = (stored.ephemeralContainers ?? []).flatMap((old) => {
    const now = wanted.get(old.name);
    const which = `existing ephemeral containers "${old.name}" may not be`;
    if (now === undefined) return [forbidden(path, `${which} removed\n`)];
    return equalJson(old, now) ? [] : [forbidden(path, `${which} changed\n`)];
  });
  return [...validateEphemeralContainers(next), ...kept];
}

/** What holds beside the rules for every container. */
function validateEphemeralContainers(spec: PodSpec): FieldCause[] {
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const otherNames = new Set(others.map(({ name }) => name));
  return (spec.ephemeralContainers ?? []).flatMap((container, index) => {
    const at = `${path}[${index}]`;
    const { targetContainerName } = container;
    const causes: FieldCause[] = [];
    if (targetContainerName && !otherNames.has(targetContainerName)) {
      causes.push(notFound(`${at}.targetContainerName`, targetContainerName));
    }
    return [...causes, ...validateFields(container, at)];
  });
}

function validateFields(container: EphemeralContainer, at: string): FieldCause[] {
  const set = notAllowed.filter((field) => isSet(container[field]));
  return [
    ...set.map((field) => forbidden(`${at}.${field}`, notAllowedText)),
    ...(container.volumeMounts ?? []).flatMap((mount, index) =>
      (["subPath", "subPathExpr"] as const)
        .filter((field) => mount[field])
        .map((field) => forbidden(`${at}.volumeMounts[${index}].${field}`, notAllowedText)),
    ),
  ];
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  return typeof value !== "object" || value === null || Object.keys(value).length > 0;
}
