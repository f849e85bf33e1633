import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Node, type NodeSpec, NodesService, type Taint } from "../../../proto/gen/core.ts";
import {
  duplicate,
  forbidden,
  invalid,
  notSupportedInOrder,
  required,
} from "../machinery/causes.ts";
import { checkCidr } from "../machinery/cidr.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import { checkLabelValue, checkQualifiedName } from "../machinery/names.ts";
import { canonicalise } from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";
import { taintEffects } from "./pod/validation.ts";
import { validateResourceAmount } from "./resource-names.ts";

const roleLabel = "node-role.kubernetes.io/";
const olderRoleLabel = "kubernetes.io/role";
const asNode = (document: Document): Node => document as Node;

export const node = defineKind({
  message: "trireme.core.v1.Node",
  codec: Node,
  service: NodesService,
  countsGenerations: false,
  shortNames: ["no"],
  // A kubelet registers its node with the status that it has.
  statusOnCreate: true,

  setDefaults(document) {
    const node = asNode(document);
    node.spec ??= {};
    node.status ??= {};
    setRanges(node.spec);
    canonicalise(node.status.capacity);
    canonicalise(node.status.allocatable);
    if (node.status.allocatable === undefined && node.status.capacity !== undefined) {
      node.status.allocatable = { ...node.status.capacity };
    }
  },
  prepareForCreate(document) {
    // The feature has been removed upstream.
    const { spec, status } = asNode(document);
    delete spec?.configSource;
    delete status?.config;
  },
  prepareForUpdate(next, stored) {
    const { spec } = asNode(next);
    if (asNode(stored).spec?.configSource === undefined) delete spec?.configSource;
  },
  validate(document) {
    const { spec = {}, status = {} } = asNode(document);
    const causes = [
      // The path is upstream's.
      ...validateTaints(spec.taints ?? [], "metadata.taints"),
      ...validateAmounts(status.capacity, "status.capacity"),
      ...validateAmounts(status.allocatable, "status.allocatable"),
    ];
    return [...causes, ...validateRanges(spec.podCIDRs ?? [])];
  },
  validateUpdate(next, stored) {
    const [spec, before] = [asNode(next).spec ?? {}, asNode(stored).spec ?? {}];
    const causes: FieldCause[] = [];
    const assigned = (before.podCIDRs ?? []).length > 0;
    if (assigned && !equalJson(spec.podCIDRs, before.podCIDRs)) {
      const detail = 'node updates may not change podCIDR except from "" to valid';
      causes.push(forbidden("spec.podCIDRs", detail));
    }
    if (before.providerID && spec.providerID !== before.providerID) {
      const detail = 'node updates may not change providerID except from "" to valid';
      causes.push(forbidden("spec.providerID", detail));
    }
    return causes;
  },
  selectableFields: {
    "spec.unschedulable": (document) => String(asNode(document).spec?.unschedulable ?? false),
  },
  columns: [
    nameColumn,
    {
      name: "Status",
      description: "Whether the node is ready, and whether it takes new pods.",
      value: (document) => statusText(asNode(document)),
    },
    {
      name: "Roles",
      description: "From the labels node-role.kubernetes.io/<role>.",
      value: (document) => rolesText(asNode(document)),
    },
    ageColumn,
    {
      name: "Version",
      description: "Of the kubelet.",
      value: (document) => asNode(document).status?.nodeInfo?.kubeletVersion ?? "",
    },
    {
      name: "Internal-IP",
      description: "Its address within the cluster.",
      wide: true,
      value: (document) => addressOf(document, "InternalIP"),
    },
    {
      name: "External-IP",
      description: "Its address outside of the cluster.",
      wide: true,
      value: (document) => addressOf(document, "ExternalIP"),
    },
    {
      name: "OS-Image",
      description: "The operating system, as the node reports it.",
      wide: true,
      value: (document) => asNode(document).status?.nodeInfo?.osImage || "<unknown>",
    },
    {
      name: "Kernel-Version",
      description: "As the node reports it.",
      wide: true,
      value: (document) => asNode(document).status?.nodeInfo?.kernelVersion || "<unknown>",
    },
    {
      name: "Container-Runtime",
      description: "Name and version of what runs its containers.",
      wide: true,
      value: (document) =>
        asNode(document).status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
    },
  ],
});

function validateAmounts(
  amounts: Readonly<Record<string, string>> | undefined,
  path: string,
): FieldCause[] {
  return Object.entries(amounts ?? {}).flatMap(([name, text]) =>
    validateResourceAmount(name, text, `${path}.${name}`),
  );
}

function validateTaints(taints: readonly Taint[], path: string): FieldCause[] {
  const seen = new Set<string>();
  return taints.flatMap((taint, index) => {
    const { key = "", value = "", effect = "" } = taint;
    const at = `${path}[${index}]`;
    const causes: FieldCause[] = [];
    for (const problem of checkQualifiedName(key)) causes.push(invalid(`${at}.key`, key, problem));
    const problems = checkLabelValue(value);
    if (problems.length > 0) causes.push(invalid(`${at}.value`, value, problems.join(";")));
    if (effect === "") causes.push(required(`${at}.effect`));
    else if (!taintEffects.includes(effect)) {
      causes.push(notSupportedInOrder(`${at}.effect`, effect, taintEffects));
    }
    const identity = `${key}:${effect}`;
    if (seen.has(identity)) {
      const shown = { Key: key, Value: value, Effect: effect, TimeAdded: taint.timeAdded ?? null };
      causes.push(duplicate(at, shown, "taints must be unique by key and effect pair"));
    }
    seen.add(identity);
    return causes;
  });
}

/** The older field is the first of the newer one, and stands where the two differ (upstream). */
function setRanges(spec: NodeSpec): void {
  const { podCIDR = "", podCIDRs = [] } = spec;
  if (podCIDR !== "" && podCIDRs[0] !== podCIDR) spec.podCIDRs = [podCIDR];
  const first = spec.podCIDRs?.[0];
  if (first !== undefined) spec.podCIDR = first;
}

function validateRanges(ranges: readonly string[]): FieldCause[] {
  const path = "spec.podCIDRs";
  const causes = ranges.flatMap((range, index) =>
    wrong(`${path}[${index}]`, range, checkCidr(range)),
  );
  if (ranges.length < 2 || causes.length > 0) return causes;
  const families = new Set(ranges.map((range) => range.includes(":")));
  if (families.size === ranges.length) return [];
  return [invalid(path, ranges, "may specify no more than one CIDR for each IP family")];
}

function statusText({ spec, status }: Node): string {
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  const text = ready === "True" ? "Ready" : ready === undefined ? "Unknown" : "NotReady";
  return spec?.unschedulable ? `${text},SchedulingDisabled` : text;
}

function rolesText({ metadata }: Node): string {
  const roles = Object.entries(metadata?.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(roleLabel)) return [key.slice(roleLabel.length)];
    return key === olderRoleLabel ? [value] : [];
  });
  return (
    roles
      .filter((role) => role !== "")
      .sort()
      .join(",") || "<none>"
  );
}

function addressOf(document: Document, type: string): string {
  const addresses = asNode(document).status?.addresses ?? [];
  return addresses.find((each) => each.type === type)?.address || "<none>";
}
