/** The kinds of the API: what each is, and everything documents are checked and changed with. */
export {
  duplicate,
  forbidden,
  invalid,
  notSupported,
  required,
  tooLong,
  typeInvalid,
} from "./causes.ts";
export { isIntOrString, isPercent, percentOf } from "./int-or-string.ts";
export { copyJson, equalJson } from "./json.ts";
export { type ParsedJson, parseJson } from "./json-text.ts";
export { selectorOf, validateLabelSelector } from "./label-selector.ts";
export { limits } from "./limits.ts";
export { generateName, validateMetadata, validateMetadataUpdate } from "./metadata.ts";
export { applyPatch, PatchType } from "./patches/apply.ts";
export { type PodSummary, summarise as summarisePod } from "./pod-columns.ts";
export { pullPolicyOf, type QosClass, qosClassOf } from "./pod-defaults.ts";
export * from "./quantity.ts";
export {
  apiVersionOf,
  kindByResource,
  kindByService,
  kindOf,
  kinds,
  serviceNameOf,
} from "./registry.ts";
export { checkSchema, type SchemaCheck, type SchemaMode } from "./schema.ts";
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
} from "./selectors.ts";
export { keepAllocated } from "./service.ts";
export { age, formatDuration, parseTime, rfc3339Micro, rfc3339Seconds } from "./time.ts";
export type { Column, Document, Kind, MessageCodec } from "./types.ts";
export { keepUnknown } from "./unknown-fields.ts";
