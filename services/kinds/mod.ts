/** The kinds of the API: what each is, and everything documents are checked and changed with. */
export { builtInRegistry } from "./builtin.ts";
export { type CertificateRequestContent, requestedOrganizations } from "./certificates/pkcs10.ts";
export type { SigningAuthority } from "./certificates/sign.ts";
export {
  statusFields as podStatusFields,
  summarise as summarisePod,
} from "./core/pod/columns.ts";
export { pullPolicyOf } from "./core/pod/defaults.ts";
export { ephemeralContainersPart } from "./core/pod/ephemeral-containers.ts";
export type { HostPort } from "./core/pod/host-ports.ts";
export { referencesOf } from "./core/pod/references.ts";
export type { ResourceAmounts } from "./core/pod/requests.ts";
export { resizePart } from "./core/pod/resize.ts";
export { isCounted } from "./core/resource-quota/scopes.ts";
export { type ObjectsOf, totalUsage } from "./core/resource-quota/total.ts";
export {
  type CountedResource,
  podAmounts,
  type Usage,
  usageOf,
} from "./core/resource-quota/usage.ts";
export { noAddress, validateClusterAddresses } from "./core/service-addresses.ts";
export { isReachedFromOutside } from "./core/service-validation.ts";
export * from "./facts.ts";
export { fieldWarnings } from "./field-support.ts";
export {
  forbidden,
  invalid,
  notSupported,
  notSupportedInOrder,
  required,
  tooLong,
} from "./machinery/causes.ts";
export { canonicalAddress } from "./machinery/cidr.ts";
export { ageColumn, defineResource, nameColumn } from "./machinery/define.ts";
export { parseJson } from "./machinery/json-text.ts";
export { limits } from "./machinery/limits.ts";
export { apply as applyConfiguration } from "./machinery/managed-fields/apply.ts";
export { checkApplied } from "./machinery/managed-fields/check.ts";
export { conflictCauses, conflictMessage } from "./machinery/managed-fields/conflicts.ts";
export { type FieldSet, setOf as fieldSetOf } from "./machinery/managed-fields/field-set.ts";
export { sameOwnership } from "./machinery/managed-fields/managers.ts";
export { MisfitError } from "./machinery/managed-fields/path-element.ts";
export {
  sharedFromText as sharedFieldsFromText,
  textOf as sharedFieldsText,
} from "./machinery/managed-fields/shared.ts";
export { trackUpdate } from "./machinery/managed-fields/update.ts";
export { generateName, validateMetadata, validateMetadataUpdate } from "./machinery/metadata.ts";
export { applyPatch, PatchType } from "./machinery/patches/apply.ts";
export {
  apiVersionOf,
  listKindOf,
  Registry,
  serviceNameOf,
  storageOf,
} from "./machinery/registry.ts";
export type {
  Cell,
  Column,
  Document,
  Resource,
  ScaleSubresource,
  WriteContext,
} from "./machinery/resource.ts";
export { checkSchema, isTimeField, type SchemaMode } from "./machinery/schema.ts";
export {
  formatSelector,
  type Labels,
  matchesFields,
  meetsTerms,
  parseFieldSelector,
} from "./machinery/selectors.ts";
export { unknownWireFields } from "./machinery/unknown-wire-fields.ts";
export { duplicatesText } from "./machinery/yaml.ts";
export { yamlText } from "./machinery/yaml-library.ts";
export { followedRelease } from "./release.ts";
export { systemPriorityClasses } from "./scheduling/priority-class.ts";
export { isDefaultStorageClass } from "./storage/storage-class.ts";
