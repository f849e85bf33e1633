/** The kinds of the API: what each is, and everything documents are checked and changed with. */

export { builtInRegistry } from "./builtin.ts";
export { type PodSummary, summarise as summarisePod } from "./core/pod/columns.ts";
export { isSidecar } from "./core/pod/containers.ts";
export { pullPolicyOf } from "./core/pod/defaults.ts";
export { type HostPort, hostPortsConflict, hostPortsOf } from "./core/pod/host-ports.ts";
export { isActive, isFinished } from "./core/pod/phase.ts";
export { priorityOf } from "./core/pod/priority.ts";
export { qosClassOf } from "./core/pod/qos.ts";
export { type PodReferences, referencesOf } from "./core/pod/references.ts";
export { podRequests, type ResourceAmounts, resourceAmounts } from "./core/pod/requests.ts";
export { tolerates, toleratesTaint } from "./core/pod/tolerations.ts";
export { isReachedFromOutside } from "./core/service.ts";
export { fieldSupport, fieldWarnings } from "./field-support.ts";
export {
  duplicate,
  forbidden,
  invalid,
  notSupported,
  required,
  tooLong,
  typeInvalid,
} from "./machinery/causes.ts";
export {
  type Condition,
  conditionOf,
  isConditionTrue,
  sameConditions,
  withCondition,
  withoutCondition,
} from "./machinery/conditions.ts";
export { ageColumn, defineResource, nameColumn } from "./machinery/define.ts";
export { isIntOrString, isPercent, percentOf } from "./machinery/int-or-string.ts";
export { copyJson, equalJson } from "./machinery/json.ts";
export { type ParsedJson, parseJson } from "./machinery/json-text.ts";
export { selectorOf, validateLabelSelector } from "./machinery/label-selector.ts";
export { limits } from "./machinery/limits.ts";
export { generateName, validateMetadata, validateMetadataUpdate } from "./machinery/metadata.ts";
export { applyPatch, PatchType } from "./machinery/patches/apply.ts";
export * from "./machinery/quantity.ts";
export {
  apiVersionOf,
  Registry,
  type RegistryChange,
  serviceNameOf,
} from "./machinery/registry.ts";
export type {
  Column,
  Document,
  MessageCodec,
  Resource,
  ScaleSubresource,
} from "./machinery/resource.ts";
export { checkSchema, type SchemaCheck, type SchemaMode } from "./machinery/schema.ts";
export {
  type FieldSelector,
  type FieldTerm,
  formatSelector,
  type Labels,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  type Requirement,
  type Selector,
} from "./machinery/selectors.ts";
export { age, formatDuration, parseTime, rfc3339Micro, rfc3339Seconds } from "./machinery/time.ts";
export { unknownWireFields } from "./machinery/unknown-wire-fields.ts";
export { parseYaml } from "./machinery/yaml.ts";
