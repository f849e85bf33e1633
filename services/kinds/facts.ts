/**
 * What programs beside the apiserver ask of objects and their values, without the kinds themselves:
 * to load these takes ten times as long.
 */
export { parseSchedule } from "./batch/schedule.ts";
export { parseCertificateRequest } from "./certificates/pkcs10.ts";
export { createCertificateRequest, type WantedCertificate } from "./certificates/request.ts";
export { signCertificate, signingAuthority } from "./certificates/sign.ts";
export { claimNameOf, claimNamesOf, notOfPod } from "./core/pod/claims.ts";
export { isSidecar } from "./core/pod/containers.ts";
export { hostPortsConflict, hostPortsOf } from "./core/pod/host-ports.ts";
export { matchesTerm, selectsNode } from "./core/pod/node-selection.ts";
export { isActive, isFinished } from "./core/pod/phase.ts";
export { qosClassOf } from "./core/pod/qos.ts";
export { podRequests, resourceAmounts } from "./core/pod/requests.ts";
export { tolerates, toleratesTaint } from "./core/pod/tolerations.ts";
export { quotaUsage } from "./core/resource-quota/total.ts";
export { countedResourceOf, freeOfCharge } from "./core/resource-quota/usage.ts";
export { claimProtection, volumeProtection } from "./core/volume-claims.ts";
export * from "./core/volume-matching.ts";
export * from "./machinery/conditions.ts";
export { formatGoDuration, parseGoDuration } from "./machinery/go-duration.ts";
export { percentOf } from "./machinery/int-or-string.ts";
export { copyJson, equalJson } from "./machinery/json.ts";
export { selectorOf, validateLabelSelector } from "./machinery/label-selector.ts";
export * from "./machinery/quantity.ts";
export { matchesLabels, parseLabelSelector } from "./machinery/selectors.ts";
export { formatDuration, parseTime, rfc3339Micro, rfc3339Seconds } from "./machinery/time.ts";
export { parseYaml } from "./machinery/yaml.ts";
export { gitVersion } from "./release.ts";
export { attachedVolumeName, attachmentName } from "./storage/attachments.ts";
