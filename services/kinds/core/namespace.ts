import { Namespace, NamespacesService } from "../../../proto/gen/core.ts";
import { invalid } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { checkQualifiedName } from "../machinery/names.ts";

/** By this label policies select a namespace by its name; always right, whatever the user wrote. */
const nameLabel = "kubernetes.io/metadata.name";

export const namespace = defineKind({
  message: "trireme.core.v1.Namespace",
  codec: Namespace,
  service: NamespacesService,
  singular: "namespace",
  shortNames: ["ns"],
  namespaced: false,
  hasStatus: true,
  nameRule: "label",

  setDefaults(document) {
    const namespace = document as Namespace;
    namespace.spec ??= {};
    namespace.status ??= {};
    namespace.status.phase ??= "Active";
    const name = namespace.metadata?.name;
    if (namespace.metadata === undefined || name === undefined || name === "") return;
    namespace.metadata.labels ??= {};
    namespace.metadata.labels[nameLabel] = name;
  },
  validate: (document) =>
    ((document as Namespace).spec?.finalizers ?? []).flatMap((finalizer) =>
      checkQualifiedName(finalizer).map((problem) =>
        invalid("spec.finalizers", finalizer, problem),
      ),
    ),
  selectableFields: {
    "status.phase": (document) => (document as Namespace).status?.phase ?? "",
  },
  columns: [
    nameColumn,
    { name: "Status", value: (document) => (document as Namespace).status?.phase ?? "" },
    ageColumn,
  ],
});
