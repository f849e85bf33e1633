import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { PriorityClass, PriorityClassesService } from "../../../proto/gen/scheduling.ts";
import { forbidden, notSupportedInOrder, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged } from "../machinery/field-rules.ts";
import type { Document } from "../machinery/resource.ts";

/** Upstream `HighestUserDefinablePriority`. */
const userValueMax = 1_000_000_000;
const systemPrefix = "system-";

/** The classes that every cluster has (upstream `SystemPriorityClasses`). */
export const systemPriorityClasses: readonly PriorityClass[] = [
  {
    metadata: { name: "system-node-critical" },
    value: 2_000_001_000,
    description: "For pods of the system that a node needs and that must stay on their node.",
  },
  {
    metadata: { name: "system-cluster-critical" },
    value: 2_000_000_000,
    description: "For pods of the system that the cluster needs, on whichever node.",
  },
];

const asClass = (document: Document): PriorityClass => document as PriorityClass;

export const priorityClass = defineKind({
  message: "trireme.scheduling.v1.PriorityClass",
  codec: PriorityClass,
  service: PriorityClassesService,
  shortNames: ["pc"],

  setDefaults(document) {
    const one = asClass(document);
    one.value ??= 0;
    one.preemptionPolicy ??= "PreemptLowerPriority";
  },
  // What it asks for may not change, so that the generation stays 1 (upstream).
  desiredState: (document) => asClass(document).value,
  validate(document) {
    const one = asClass(document);
    return [...validateValue(one), ...validatePolicy(one.preemptionPolicy)];
  },
  validateUpdate(next, stored) {
    const [one, before] = [asClass(next), asClass(stored)];
    const causes = unchanged("preemptionPolicy", one.preemptionPolicy, before.preemptionPolicy);
    if (one.value === before.value) return causes;
    return [forbidden("value", "may not be changed in an update."), ...causes];
  },
  columns: [
    nameColumn,
    { name: "Value", type: "integer", value: (document) => String(asClass(document).value ?? 0) },
    {
      name: "Global-Default",
      type: "boolean",
      value: (document) => String(asClass(document).globalDefault ?? false),
    },
    ageColumn,
    { name: "PreemptionPolicy", value: (document) => asClass(document).preemptionPolicy ?? "" },
  ],
});

function validatePolicy(policy: string | undefined): FieldCause[] {
  const [field, policies] = ["preemptionPolicy", ["PreemptLowerPriority", "Never"]];
  if (policy === undefined || policies.includes(policy)) return [];
  return [policy === "" ? required(field) : notSupportedInOrder(field, policy, policies)];
}

function validateValue(one: PriorityClass): FieldCause[] {
  const name = one.metadata?.name ?? "";
  const { value = 0 } = one;
  if (!name.startsWith(systemPrefix)) {
    if (value <= userValueMax) return [];
    const detail = `maximum allowed value of a user defined priority is ${userValueMax}`;
    return [forbidden("value", detail)];
  }
  const fault = systemFault(one, name);
  if (fault === undefined) return [];
  const detail =
    `priority class names with '${systemPrefix}' prefix are reserved for system use only. ` +
    `error: ${fault}`;
  return [forbidden("metadata.name", detail)];
}

function systemFault(one: PriorityClass, name: string): string | undefined {
  const known = systemPriorityClasses.find(({ metadata }) => metadata?.name === name);
  if (known === undefined) return `${name} is not a known system priority class`;
  if (one.value !== known.value) return `value of ${name} PriorityClass must be ${known.value}`;
  if (one.globalDefault) return `globalDefault of ${name} PriorityClass must be false`;
  return undefined;
}
