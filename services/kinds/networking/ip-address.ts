import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  IPAddress,
  IPAddressesService,
  type ParentReference,
} from "../../../proto/gen/networking.ts";
import { required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, wrong } from "../machinery/field-rules.ts";
import { checkPathSegment, checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { segment } from "./reference.ts";

const parentOf = (document: Document): ParentReference | undefined =>
  (document as IPAddress).spec?.parentRef;

export const ipAddress = defineKind({
  message: "trireme.networking.v1.IPAddress",
  codec: IPAddress,
  service: IPAddressesService,
  shortNames: ["ip"],
  nameRule: "address",

  validate(document) {
    const at = "spec.parentRef";
    const parent = parentOf(document);
    if (parent === undefined) return [required(at)];
    const { group = "", resource = "", name = "", namespace = "" } = parent;
    const causes: FieldCause[] = [
      ...(group === "" ? [] : wrong(`${at}.group`, group, checkSubdomain(group))),
      ...segment(resource, `${at}.resource`),
      ...segment(name, `${at}.name`),
    ];
    if (namespace === "") return causes;
    return [...causes, ...wrong(`${at}.namespace`, namespace, checkPathSegment(namespace))];
  },
  validateUpdate: (next, stored) => unchanged("spec.parentRef", parentOf(next), parentOf(stored)),
  selectableFields: {
    "spec.parentRef.group": (document) => parentOf(document)?.group ?? "",
    "spec.parentRef.resource": (document) => parentOf(document)?.resource ?? "",
    "spec.parentRef.namespace": (document) => parentOf(document)?.namespace ?? "",
    "spec.parentRef.name": (document) => parentOf(document)?.name ?? "",
  },
  columns: [
    nameColumn,
    { name: "ParentRef", value: (document) => parentText(parentOf(document)) },
    ageColumn,
  ],
});

function parentText(parent: ParentReference | undefined): string {
  if (parent === undefined) return "<none>";
  const { group = "", resource = "", namespace = "", name = "" } = parent;
  const type = (group === "" ? resource : `${resource}.${group}`).toLowerCase();
  return [type, ...(namespace === "" ? [] : [namespace]), name].join("/");
}
