import { isIP } from "node:net";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Node, NodesService, type Taint } from "../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { equalJson } from "../machinery/json.ts";
import { checkLabelValue, checkQualifiedName } from "../machinery/names.ts";
import { canonicalise } from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";
import { oneOf } from "./pod/field-checks.ts";
import { validateAmounts } from "./pod/resource-validation.ts";
import { taintEffects } from "./pod/validation.ts";

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
    if (node.spec.podCIDR !== undefined) node.spec.podCIDRs ??= [node.spec.podCIDR];
    canonicalise(node.status.capacity);
    canonicalise(node.status.allocatable);
    if (node.status.allocatable === undefined && node.status.capacity !== undefined) {
      node.status.allocatable = { ...node.status.capacity };
    }
  },
  validate(document) {
    const { spec = {}, status = {} } = asNode(document);
    const causes = [
      ...validateTaints(spec.taints ?? [], "spec.taints"),
      ...validateAmounts(status.capacity ?? {}, "status.capacity", undefined),
      ...validateAmounts(status.allocatable ?? {}, "status.allocatable", undefined),
    ];
    spec.podCIDRs?.forEach((range, index) => {
      if (isRange(range)) return;
      const detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
      causes.push(invalid(`spec.podCIDRs[${index}]`, range, detail));
    });
    if (spec.podCIDR !== undefined && spec.podCIDRs?.[0] !== spec.podCIDR) {
      causes.push(invalid("spec.podCIDRs", spec.podCIDRs, "first value must match `podCIDR`"));
    }
    return causes;
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

function validateTaints(taints: readonly Taint[], path: string): FieldCause[] {
  const seen = new Set<string>();
  return taints.flatMap((taint, index) => {
    const { key = "", value = "", effect = "" } = taint;
    const at = `${path}[${index}]`;
    const causes: FieldCause[] = [];
    for (const problem of checkQualifiedName(key)) causes.push(invalid(`${at}.key`, key, problem));
    for (const problem of checkLabelValue(value)) {
      causes.push(invalid(`${at}.value`, value, problem));
    }
    if (effect === "") causes.push(required(`${at}.effect`));
    else causes.push(...oneOf(effect, taintEffects, `${at}.effect`));
    const identity = `${key}:${effect}`;
    if (seen.has(identity)) causes.push(duplicate(at, { key, effect }));
    seen.add(identity);
    return causes;
  });
}

function isRange(text: string): boolean {
  const [address = "", bits = ""] = text.split("/");
  const family = isIP(address);
  if (family === 0 || !/^[0-9]{1,3}$/.test(bits)) return false;
  return Number(bits) <= (family === 4 ? 32 : 128);
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
