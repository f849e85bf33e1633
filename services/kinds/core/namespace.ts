import { Namespace, NamespacesService } from "../../../proto/gen/core.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { validateFinalizerName } from "../machinery/metadata.ts";

/** By this label policies select a namespace by its name; always right, whatever the user wrote. */
const nameLabel = "kubernetes.io/metadata.name";

/** The namespace controller takes it off when the namespace is empty. */
const contentFinalizer = "kubernetes";

export const namespace = defineKind({
  message: "trireme.core.v1.Namespace",
  codec: Namespace,
  service: NamespacesService,
  countsGenerations: false,
  shortNames: ["ns"],
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
  prepareForCreate(document) {
    const namespace = document as Namespace;
    const finalizers = namespace.spec?.finalizers ?? [];
    namespace.spec = {
      ...namespace.spec,
      finalizers: finalizers.includes(contentFinalizer)
        ? finalizers
        : [...finalizers, contentFinalizer],
    };
    namespace.status = { phase: "Active" };
  },
  prepareForUpdate(next, stored) {
    // They are written by the finalize subresource alone.
    (next as Namespace).spec = {
      ...(next as Namespace).spec,
      finalizers: (stored as Namespace).spec?.finalizers,
    };
  },
  prepareForDelete(document) {
    const namespace = document as Namespace;
    namespace.status = { ...namespace.status, phase: "Terminating" };
  },
  holdsDeletion: (document) => ((document as Namespace).spec?.finalizers ?? []).length > 0,
  validate: (document) =>
    ((document as Namespace).spec?.finalizers ?? []).flatMap((finalizer) =>
      validateFinalizerName(finalizer, "spec.finalizers"),
    ),
  selectableFields: {
    "status.phase": (document) => (document as Namespace).status?.phase ?? "",
  },
  columns: [
    nameColumn,
    {
      name: "Status",
      description: "Active, or Terminating while its objects are deleted.",
      value: (document) => (document as Namespace).status?.phase ?? "",
    },
    ageColumn,
  ],
});
