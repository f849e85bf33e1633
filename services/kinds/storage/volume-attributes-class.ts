import {
  VolumeAttributesClass,
  VolumeAttributesClassesService,
} from "../../../proto/gen/storage.ts";
import { forbidden, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { equalJson } from "../machinery/json.ts";
import type { Document } from "../machinery/resource.ts";
import { validateParameters, validateProvisioner } from "./parameters.ts";

const asClass = (document: Document): VolumeAttributesClass => document as VolumeAttributesClass;

export const volumeAttributesClass = defineKind({
  message: "trireme.storage.v1.VolumeAttributesClass",
  codec: VolumeAttributesClass,
  service: VolumeAttributesClassesService,
  shortNames: ["vac"],

  validate(document) {
    const { driverName = "", parameters = {} } = asClass(document);
    const causes = [
      ...validateProvisioner(driverName, "driverName"),
      ...validateParameters(parameters),
    ];
    if (Object.keys(parameters).length > 0) return causes;
    return [...causes, required("parameters", "must contain at least one key/value pair")];
  },
  validateUpdate(next, stored) {
    const [one, before] = [asClass(next), asClass(stored)];
    return (["driverName", "parameters"] as const)
      .filter((name) => !equalJson(one[name], before[name]))
      .map((name) => forbidden(name, `updates to ${name} are forbidden.`));
  },
  columns: [
    nameColumn,
    { name: "DriverName", value: (document) => asClass(document).driverName ?? "" },
    ageColumn,
  ],
});
