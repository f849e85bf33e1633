import { ControllerRevision, ControllerRevisionsService } from "../../../proto/gen/apps.ts";
import { required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { notNegative, unchanged } from "../machinery/field-rules.ts";
import type { Document } from "../machinery/resource.ts";

const asRevision = (document: Document): ControllerRevision => document as ControllerRevision;

export const controllerRevision = defineKind({
  message: "trireme.apps.v1.ControllerRevision",
  codec: ControllerRevision,
  service: ControllerRevisionsService,

  setDefaults(document) {
    asRevision(document).revision ??= 0;
  },
  validate(document) {
    const { data, revision } = asRevision(document);
    return [
      ...notNegative(revision, "revision"),
      ...(data === undefined ? [required("data", "data is mandatory")] : []),
    ];
  },
  validateUpdate: (next, stored) =>
    unchanged("data", asRevision(next).data, asRevision(stored).data),
  columns: [
    nameColumn,
    { name: "Controller", value: controllerOf },
    { name: "Revision", value: (document) => asRevision(document).revision ?? 0 },
    ageColumn,
  ],
});

/** E.g. `statefulset.apps/web`. */
function controllerOf(document: Document): string {
  const owner = (document.metadata?.ownerReferences ?? []).find((each) => each.controller === true);
  if (owner === undefined) return "<none>";
  const { apiVersion = "", kind = "", name = "" } = owner;
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : `.${apiVersion.slice(0, slash)}`;
  return `${kind.toLowerCase()}${group}/${name}`;
}
