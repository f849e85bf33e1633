import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type Device,
  type DeviceAttribute,
  type ResourcePool,
  ResourceSlice,
  type ResourceSliceSpec,
  ResourceSlicesService,
} from "../../../proto/gen/resource.ts";
import { validateNodeSelector } from "../core/pod/validation.ts";
import { invalid, required, tooLong } from "../machinery/causes.ts";
import { isSemver } from "../machinery/cel/libraries/semver.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, validateDriverName, wrong } from "../machinery/field-rules.ts";
import { checkSubdomain } from "../machinery/names.ts";
import { canonicalQuantity, parseQuantity, quantityMessage } from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";
import { eachOnce, validateAttributeName, validateLabelName, validatePoolName } from "./checks.ts";

const devicesMax = 128;
const attributesMax = 32;
const valueBytesMax = 64;

const specOf = (document: Document): ResourceSliceSpec => (document as ResourceSlice).spec ?? {};

export const resourceSlice = defineKind({
  message: "trireme.resource.v1.ResourceSlice",
  codec: ResourceSlice,
  service: ResourceSlicesService,

  setDefaults(document) {
    for (const { capacity = {} } of specOf(document).devices ?? []) {
      for (const one of Object.values(capacity)) one.value = canonicalQuantity(one.value ?? "0");
    }
  },
  desiredState: specOf,
  validate(document) {
    const spec = specOf(document);
    return [
      ...validateDriverName(spec.driver ?? "", "spec.driver"),
      ...validatePool(spec.pool ?? {}),
      ...validateReach(spec),
      ...eachOnce(
        spec.devices,
        devicesMax,
        "spec.devices",
        ({ name = "" }) => ({ value: name, field: "name" }),
        validateDevice,
      ),
    ];
  },
  validateUpdate(next, stored) {
    const [spec, before] = [specOf(next), specOf(stored)];
    return [
      ...unchanged("spec.pool.name", spec.pool?.name, before.pool?.name),
      ...unchanged("spec.driver", spec.driver, before.driver),
      ...unchanged("spec.nodeName", spec.nodeName, before.nodeName),
    ];
  },
  selectableFields: {
    "spec.nodeName": (document) => specOf(document).nodeName ?? "",
    "spec.driver": (document) => specOf(document).driver ?? "",
  },
  columns: [
    nameColumn,
    { name: "Node", value: (document) => specOf(document).nodeName ?? "" },
    { name: "Driver", value: (document) => specOf(document).driver ?? "" },
    { name: "Pool", value: (document) => specOf(document).pool?.name ?? "" },
    ageColumn,
  ],
});

function validatePool(pool: ResourcePool): FieldCause[] {
  const { name = "", generation = 0, resourceSliceCount = 0 } = pool;
  const causes = validatePoolName(name, "spec.pool.name");
  if (resourceSliceCount <= 0) {
    const detail = "must be greater than zero";
    causes.push(invalid("spec.pool.resourceSliceCount", resourceSliceCount, detail));
  }
  if (generation < 0) {
    const detail = "must be greater than or equal to zero";
    causes.push(invalid("spec.pool.generation", generation, detail));
  }
  return causes;
}

/** From which nodes the devices can be reached. */
function validateReach({ nodeName, nodeSelector, allNodes }: ResourceSliceSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  const given: string[] = [];
  if (nodeName === "") {
    const detail = "must be either unset or set to a non-empty string";
    causes.push(invalid("spec.nodeName", nodeName, detail));
  } else if (nodeName !== undefined) {
    given.push("`nodeName`");
    causes.push(...wrong("spec.nodeName", nodeName, checkSubdomain(nodeName)));
  }
  if (nodeSelector !== undefined) {
    given.push("`nodeSelector`");
    causes.push(...validateNodeSelector(nodeSelector, "spec.nodeSelector"));
    const { nodeSelectorTerms: terms = [] } = nodeSelector;
    const detail = "must have exactly one node selector term";
    if (terms.length !== 1) {
      causes.push(invalid("spec.nodeSelector.nodeSelectorTerms", terms, detail));
    }
  }
  if (allNodes === false) {
    causes.push(invalid("spec.allNodes", false, "must be either unset or set to true"));
  } else if (allNodes === true) given.push("`allNodes`");
  const detail = "exactly one of `nodeName`, `nodeSelector`, `allNodes` is required";
  if (given.length === 0) causes.push(required("spec", detail));
  if (given.length > 1) {
    const shown = `{${given.join(", ")}}`;
    causes.push(invalid("spec", shown, `${detail}, but multiple fields are set`));
  }
  return causes;
}

function validateDevice(
  { name = "", attributes = {}, capacity = {} }: Device,
  path: string,
): FieldCause[] {
  const causes = validateLabelName(name, `${path}.name`);
  const count = Object.keys(attributes).length + Object.keys(capacity).length;
  if (count > attributesMax) {
    const detail = `the total number of attributes and capacities must not exceed ${attributesMax}`;
    causes.push(invalid(path, count, detail));
  }
  for (const [key, attribute] of Object.entries(attributes)) {
    const at = `${path}.attributes[${key}]`;
    causes.push(...validateAttributeName(key, at), ...validateAttribute(attribute, at));
  }
  for (const [key, { value = "" }] of Object.entries(capacity)) {
    const at = `${path}.capacity[${key}]`;
    causes.push(...validateAttributeName(key, at));
    if (parseQuantity(value) === undefined) {
      causes.push(invalid(`${at}.value`, value, quantityMessage));
    }
  }
  return causes;
}

function validateAttribute(attribute: DeviceAttribute, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const { string: text, version } = attribute;
  if (version !== undefined && !isSemver(version)) {
    const detail = "must be a string compatible with semver.org spec 2.0.0";
    causes.push(invalid(`${path}.version`, version, detail));
  }
  for (const [field, value] of Object.entries({ string: text, version })) {
    if (value === undefined || Buffer.byteLength(value) <= valueBytesMax) continue;
    causes.push(tooLong(`${path}.${field}`, valueBytesMax));
  }
  const given = Object.values(attribute).filter((value) => value !== undefined);
  const detail = "exactly one value must be specified";
  if (given.length === 0) causes.push(required(path, detail));
  if (given.length > 1) causes.push(invalid(path, attribute, detail));
  return causes;
}
