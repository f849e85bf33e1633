/** From a definition to the resources that are served: one for each of its versions. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionVersion,
  CustomResourceSubresourceScale,
} from "../../../proto/gen/apiextensions.ts";
import {
  type CompiledSchema,
  compiledSchema,
} from "../../kinds/apiextensions/custom-resource-definition/schemas.ts";
import { isObject, type JsonObject, setField } from "../../kinds/machinery/json.ts";
import { parseJsonPath } from "../../kinds/machinery/json-path.ts";
import { applyDefaults } from "../../kinds/machinery/structural/defaults.ts";
import { pruneUnknown } from "../../kinds/machinery/structural/prune.ts";
import { structuralSchema } from "../../kinds/machinery/structural/resource-schema.ts";
import { validateObject } from "../../kinds/machinery/structural/validate-object.ts";
import {
  type Document,
  defineResource,
  type Resource,
  type ScaleSubresource,
} from "../../kinds/mod.ts";
import { columnsOf } from "./columns.ts";
import type { Converter } from "./converter.ts";
import { compareVersions } from "./version-order.ts";

/** What of a definition decides about its resources. */
export interface Plan {
  readonly group: string;
  readonly scope: string;
  readonly names: CustomResourceDefinitionNames;
  readonly versions: readonly CustomResourceDefinitionVersion[];
  readonly terminating: boolean;
}

/** Undefined: nothing of it is served, because its names are not accepted. */
export function planOf(definition: CustomResourceDefinition): Plan | undefined {
  const { metadata, spec = {}, status = {} } = definition;
  const names = status.acceptedNames ?? {};
  const { group = "", scope = "", versions = [] } = spec;
  if (!names.plural || !names.kind || !names.listKind || versions.length === 0) return undefined;
  const terminating = metadata?.deletionTimestamp !== undefined;
  return { group, scope, names, versions, terminating };
}

/** Under which objects of the definition are kept, in its storage version. */
export function storageResource({ group, scope, names, versions }: Plan): Resource {
  const version = versions.find(({ storage }) => storage === true)?.name ?? "";
  const { plural = "", kind = "" } = names;
  return defineResource({ group, version, kind, plural, namespaced: scope === "Namespaced" });
}

/** In the order of their versions, the preferred one first. */
export function servedResources(plan: Plan, storage: Resource, converter: Converter): Resource[] {
  return plan.versions
    .filter(({ served }) => served === true)
    .sort((one, other) => compareVersions(one.name ?? "", other.name ?? ""))
    .map((version) => resourceOf(plan, version, storage, converter));
}

function resourceOf(
  plan: Plan,
  definition: CustomResourceDefinitionVersion,
  storage: Resource,
  converter: Converter,
): Resource {
  const { group, names, terminating } = plan;
  const { plural = "", kind = "" } = names;
  const version = definition.name ?? "";
  const schema = compiledSchema(definition.schema?.openAPIV3Schema);
  const apart = definition.subresources?.status !== undefined;
  const scale = definition.subresources?.scale;
  const apiVersion = `${group}/${version}`;
  return defineResource({
    group,
    version,
    kind,
    plural,
    singular: names.singular || kind.toLowerCase(),
    listKind: names.listKind,
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: storage.namespaced,
    schema: structuralSchema(schema.props, () => schema.node),
    subresources: { status: apart, scale: scale && scaleOf(scale) },
    allowUnconditionalUpdate: false,
    storedAs: {
      resource: storage,
      toStored: (document) => document,
      fromStored: (document) => shown(schema, converter.convert(document, apiVersion)),
      ...(converter.remote !== undefined && {
        remote: {
          toStored: (document) => toStored(converter, storage, document),
          fromStored: async (documents) => {
            const converted = await converter.remote?.(documents, apiVersion);
            return (converted ?? []).map((each) => shown(schema, each));
          },
        },
      }),
    },
    setDefaults: (document) => {
      applyDefaults(schema.node, document);
    },
    validate: (document, stored) => validateObject(schema.node, document, stored),
    desiredState: ({ apiVersion: _version, kind: _kind, metadata: _metadata, ...rest }) => {
      if (apart) delete rest["status"];
      return rest;
    },
    refusal: (verb) =>
      terminating && verb === "create"
        ? `${verb} not allowed while custom resource definition is terminating`
        : undefined,
    deprecationWarning: deprecationOf(definition, apiVersion, kind),
    selectableFields: selectableFieldsOf(definition),
    columns: columnsOf(definition.additionalPrinterColumns),
  });
}

async function toStored(
  converter: Converter,
  storage: Resource,
  document: Document,
): Promise<Document> {
  const apiVersion = `${storage.group}/${storage.version}`;
  const [converted] = (await converter.remote?.([document], apiVersion)) ?? [];
  return converted ?? document;
}

/** A document of the store, held to the schema of the version in which it is shown. */
function shown(schema: CompiledSchema, document: Document): Document {
  const pruned = pruneUnknown(schema.node, document, 1);
  const defaulted = applyDefaults(schema.node, document);
  return pruned.length > 0 || defaulted ? { ...document } : document;
}

function deprecationOf(
  { deprecated = false, deprecationWarning }: CustomResourceDefinitionVersion,
  apiVersion: string,
  kind: string,
): string | undefined {
  return deprecated ? (deprecationWarning ?? `${apiVersion} ${kind} is deprecated`) : undefined;
}

function selectableFieldsOf({
  selectableFields = [],
}: CustomResourceDefinitionVersion): Resource["selectableFields"] {
  return Object.fromEntries(
    selectableFields.map(({ jsonPath = "" }) => {
      const path = parseJsonPath(jsonPath);
      const value = (document: Document) => {
        const [found] = path.find(document);
        if (found === undefined || found === null) return "";
        return typeof found === "string" ? found : JSON.stringify(found);
      };
      return [jsonPath.replace(/^\./, ""), value];
    }),
  );
}

function scaleOf(definition: CustomResourceSubresourceScale): ScaleSubresource {
  const { specReplicasPath = "", statusReplicasPath = "", labelSelectorPath } = definition;
  const wanted = parseJsonPath(specReplicasPath);
  const present = parseJsonPath(statusReplicasPath);
  const selector = labelSelectorPath ? parseJsonPath(labelSelectorPath) : undefined;
  const count = (value: unknown) => (typeof value === "number" ? Math.trunc(value) : 0);
  return {
    replicas: (document) => {
      const [found] = wanted.find(document);
      if (found !== undefined) return count(found);
      throw new StatusError(
        Code.internal,
        `the spec replicas field ${JSON.stringify(specReplicasPath)} does not exist`,
        { reason: "InternalError" },
      );
    },
    setReplicas: (document, replicas) => {
      setAt(document, specReplicasPath.slice(1).split("."), replicas);
    },
    currentReplicas: (document) => count(present.find(document)[0]),
    selector: (document) => {
      const [found] = selector?.find(document) ?? [];
      return typeof found === "string" ? found : "";
    },
  };
}

function setAt(document: JsonObject, names: readonly string[], value: unknown): void {
  let target = document;
  for (const name of names.slice(0, -1)) {
    const next = Object.hasOwn(target, name) ? target[name] : undefined;
    const inner: JsonObject = isObject(next) ? next : {};
    setField(target, name, inner);
    target = inner;
  }
  setField(target, names.at(-1) ?? "", value);
}
