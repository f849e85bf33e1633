import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  StorageClass,
  StorageClassesService,
  type TopologySelectorTerm,
} from "../../../proto/gen/storage.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { duplicate, forbidden, required } from "../machinery/causes.ts";
import { ageColumn, defineKind } from "../machinery/define.ts";
import { unchanged, wrong } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import { checkQualifiedName } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { validateParameters, validateProvisioner } from "./parameters.ts";

const reclaimPolicies = ["Delete", "Retain"];
const bindingModes = ["Immediate", "WaitForFirstConsumer"];
const defaultAnnotations = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

const asClass = (document: Document): StorageClass => document as StorageClass;

export const storageClass = defineKind({
  message: "trireme.storage.v1.StorageClass",
  codec: StorageClass,
  service: StorageClassesService,
  shortNames: ["sc"],

  setDefaults(document) {
    const one = asClass(document);
    one.reclaimPolicy ??= "Delete";
    one.volumeBindingMode ??= "Immediate";
  },
  validate(document) {
    const one = asClass(document);
    const { provisioner = "", reclaimPolicy = "", volumeBindingMode } = one;
    return [
      ...validateProvisioner(provisioner, "provisioner"),
      ...validateParameters(one.parameters ?? {}),
      ...(reclaimPolicy === "" ? [] : oneOf(reclaimPolicy, reclaimPolicies, "reclaimPolicy")),
      ...oneOf(volumeBindingMode, bindingModes, "volumeBindingMode"),
      ...validateTopologies(one.allowedTopologies ?? []),
    ];
  },
  validateUpdate(next, stored) {
    const [one, before] = [asClass(next), asClass(stored)];
    const causes = (["parameters", "provisioner", "reclaimPolicy"] as const)
      .filter((name) => !equalJson(one[name], before[name]))
      .map((name) => forbidden(name, `updates to ${name} are forbidden.`));
    const { volumeBindingMode } = before;
    return [...causes, ...unchanged("volumeBindingMode", one.volumeBindingMode, volumeBindingMode)];
  },
  columns: [
    { name: "Name", format: "name", value: nameText },
    { name: "Provisioner", value: (document) => asClass(document).provisioner ?? "" },
    { name: "ReclaimPolicy", value: (document) => asClass(document).reclaimPolicy ?? "Delete" },
    {
      name: "VolumeBindingMode",
      value: (document) => asClass(document).volumeBindingMode ?? "Immediate",
    },
    {
      name: "AllowVolumeExpansion",
      value: (document) => asClass(document).allowVolumeExpansion ?? false,
    },
    ageColumn,
  ],
});

/** Whether claims that name no class get this one (upstream `IsDefaultAnnotation`). */
export function isDefaultStorageClass({ metadata }: StorageClass): boolean {
  return defaultAnnotations.some((name) => metadata?.annotations?.[name] === "true");
}

function nameText(document: Document): string {
  const name = document.metadata?.name ?? "";
  return isDefaultStorageClass(asClass(document)) ? `${name} (default)` : name;
}

function validateTopologies(terms: readonly TopologySelectorTerm[]): FieldCause[] {
  // Upstream compares with as many empty terms as there are terms, before any of them.
  const seen: Record<string, string[]>[] = terms.map(() => ({}));
  return terms.flatMap(({ matchLabelExpressions = [] }, index) => {
    const list = `allowedTopologies[${index}].matchLabelExpressions`;
    const causes: FieldCause[] = [];
    const wanted: Record<string, string[]> = {};
    matchLabelExpressions.forEach(({ key = "", values = [] }, position) => {
      const at = `${list}[${position}]`;
      if (values.length === 0) causes.push(required(`${at}.values`));
      values.forEach((value, place) => {
        const known = values.indexOf(value) < place;
        if (known) causes.push(duplicate(`${at}.values[${place}]`, value));
      });
      causes.push(...wrong(`${at}.key`, key, checkQualifiedName(key)));
      if (Object.hasOwn(wanted, key)) causes.push(duplicate(`${at}.key`, key));
      wanted[key] = [...new Set(values)].sort();
    });
    const same = seen.filter((each) => equalJson(each, wanted));
    seen.push(wanted);
    return [...causes, ...same.map(() => duplicate(list, ""))];
  });
}
