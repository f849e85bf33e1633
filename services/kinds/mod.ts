/** The kinds of the API: what each is, and everything documents are checked and changed with. */
export { parseSchedule } from "./batch/schedule.ts";
export { builtInRegistry } from "./builtin.ts";
export {
  type CertificateRequestContent,
  parseCertificateRequest,
  requestedOrganizations,
} from "./certificates/pkcs10.ts";
export { createCertificateRequest, type WantedCertificate } from "./certificates/request.ts";
export { type SigningAuthority, signCertificate, signingAuthority } from "./certificates/sign.ts";
export { summarise as summarisePod } from "./core/pod/columns.ts";
export { isSidecar } from "./core/pod/containers.ts";
export { pullPolicyOf } from "./core/pod/defaults.ts";
export { ephemeralContainersPart } from "./core/pod/ephemeral-containers.ts";
export { type HostPort, hostPortsConflict, hostPortsOf } from "./core/pod/host-ports.ts";
export { matchesTerm, selectsNode } from "./core/pod/node-selection.ts";
export { isActive, isFinished } from "./core/pod/phase.ts";
export { qosClassOf } from "./core/pod/qos.ts";
export { referencesOf } from "./core/pod/references.ts";
export { podRequests, type ResourceAmounts, resourceAmounts } from "./core/pod/requests.ts";
export { resizePart } from "./core/pod/resize.ts";
export { tolerates, toleratesTaint } from "./core/pod/tolerations.ts";
export { isCounted } from "./core/resource-quota/scopes.ts";
export { quotaUsage, totalUsage } from "./core/resource-quota/total.ts";
export {
  type CountedObject,
  type CountedResource,
  countedResourceOf,
  podAmounts,
  type Usage,
  usageOf,
} from "./core/resource-quota/usage.ts";
export { isReachedFromOutside } from "./core/service.ts";
export { claimProtection, volumeProtection } from "./core/volume-claims.ts";
export {
  bindCompleted,
  boundByController,
  isBoundClaim,
  isKeptForClaim,
  isVolumeReachedFrom,
  selectedNode,
  volumeClassOf,
  volumeForClaim,
  volumeMismatch,
  volumeModeOf,
} from "./core/volume-matching.ts";
export { fieldWarnings } from "./field-support.ts";
export {
  forbidden,
  invalid,
  notSupported,
  required,
  tooLong,
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
export { formatGoDuration } from "./machinery/go-duration.ts";
export { percentOf } from "./machinery/int-or-string.ts";
export { copyJson, equalJson } from "./machinery/json.ts";
export { parseJson } from "./machinery/json-text.ts";
export { selectorOf, validateLabelSelector } from "./machinery/label-selector.ts";
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
export * from "./machinery/quantity.ts";
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
  matchesLabels,
  meetsTerms,
  parseFieldSelector,
  parseLabelSelector,
} from "./machinery/selectors.ts";
export { formatDuration, parseTime, rfc3339Micro, rfc3339Seconds } from "./machinery/time.ts";
export { unknownWireFields } from "./machinery/unknown-wire-fields.ts";
export { duplicatesText, parseYaml } from "./machinery/yaml.ts";
export { followedRelease, gitVersion } from "./release.ts";
export { systemPriorityClasses } from "./scheduling/priority-class.ts";
export { isDefaultStorageClass } from "./storage/storage-class.ts";
