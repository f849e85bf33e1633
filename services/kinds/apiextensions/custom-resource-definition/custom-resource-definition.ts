import {
  CustomResourceDefinition,
  CustomResourceDefinitionsService,
} from "../../../../proto/gen/apiextensions.ts";
import { conditionOf, withCondition } from "../../machinery/conditions.ts";
import { defineKind, nameColumn } from "../../machinery/define.ts";
import { refineSchema, unknownFormats } from "./schemas.ts";
import { validateDefinitionUpdate } from "./update-validation.ts";
import { validateDefinition } from "./validation.ts";

/** Holds a deleted definition until its objects are gone. */
export const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

export const customResourceDefinition = defineKind({
  message: "trireme.apiextensions.v1.CustomResourceDefinition",
  codec: CustomResourceDefinition,
  service: CustomResourceDefinitionsService,
  allowUnconditionalUpdate: false,
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  refineSchema,

  setDefaults(document) {
    const definition = document as CustomResourceDefinition;
    definition.spec ??= {};
    const { spec } = definition;
    const { names } = spec;
    if (names !== undefined) {
      if (!names.singular) names.singular = (names.kind ?? "").toLowerCase();
      if (!names.listKind && names.kind) names.listKind = `${names.kind}List`;
    }
    spec.conversion ??= { strategy: "None" };
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service !== undefined) service.port ??= 443;
  },
  prepareForCreate(document) {
    const definition = document as CustomResourceDefinition;
    definition.status = {
      acceptedNames: { plural: "", kind: "" },
      storedVersions: storageVersions(definition),
    };
  },
  prepareForUpdate(next, stored) {
    const definition = next as CustomResourceDefinition;
    const [version] = storageVersions(definition);
    const [before] = storageVersions(stored as CustomResourceDefinition);
    if (version === undefined || version === before) return;
    const status = { ...definition.status };
    const storedVersions = status.storedVersions ?? [];
    if (!storedVersions.includes(version)) status.storedVersions = [...storedVersions, version];
    definition.status = status;
  },
  prepareForDelete(document) {
    const definition = document as CustomResourceDefinition;
    const { status = {}, metadata = {} } = definition;
    if (conditionOf(status.conditions, "Terminating") !== undefined) return;
    metadata.finalizers = [...(metadata.finalizers ?? []), cleanupFinalizer];
    const terminating = {
      type: "Terminating",
      status: "True",
      reason: "InstanceDeletionPending",
      message:
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    };
    const since = Date.parse(metadata.deletionTimestamp ?? "");
    const conditions = withCondition(status.conditions, terminating, since);
    definition.status = { ...status, conditions };
  },
  warnings: (document) =>
    ((document as CustomResourceDefinition).spec?.versions ?? [])
      .flatMap(({ schema }) => unknownFormats(schema?.openAPIV3Schema))
      .map((format) => `unrecognized format ${JSON.stringify(format)}`),
  validate: validateDefinition,
  validateUpdate: validateDefinitionUpdate,
  columns: [
    nameColumn,
    {
      name: "Created At",
      type: "date",
      description: "When the server created the definition.",
      value: (document) => document.metadata?.creationTimestamp ?? "",
    },
  ],
});

function storageVersions({ spec }: CustomResourceDefinition): string[] {
  return (spec?.versions ?? [])
    .filter(({ storage }) => storage === true)
    .slice(0, 1)
    .map(({ name = "" }) => name);
}
