/** Where the storage of a persistent volume is (upstream `ValidatePersistentVolumeSpec`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  CSIPersistentVolumeSource,
  FCVolumeSource,
  FlockerVolumeSource,
  ISCSIPersistentVolumeSource,
  PersistentVolumeSpec,
  SecretReference,
} from "../../../proto/gen/core.ts";
import { forbidden, invalid, required } from "../machinery/causes.ts";
import { validateDriverName, wrong } from "../machinery/field-rules.ts";
import { isObject } from "../machinery/json.ts";
import { checkLabelName, checkSubdomain } from "../machinery/names.ts";
import { checkRequired, fieldSchema } from "../machinery/schema.ts";
import { validateHostPath } from "./pod/volume-validation.ts";

/** In the order in which upstream looks at them: of several, the first is the one meant. */
const sources = [
  "hostPath",
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "glusterfs",
  "flocker",
  "nfs",
  "rbd",
  "quobyte",
  "cephfs",
  "iscsi",
  "cinder",
  "fc",
  "flexVolume",
  "azureFile",
  "vsphereVolume",
  "photonPersistentDisk",
  "portworxVolume",
  "azureDisk",
  "scaleIO",
  "local",
  "storageos",
  "csi",
] as const;

/** The source alone, without the rest of the spec. */
export function sourceOf(spec: PersistentVolumeSpec): PersistentVolumeSpec {
  const given = sources.filter((name) => spec[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, spec[name]]));
}

/** Upstream's `core/v1/defaults.go`. */
export function setSourceDefaults(spec: PersistentVolumeSpec): void {
  if (spec.hostPath !== undefined) spec.hostPath.type ??= "";
  if (spec.iscsi !== undefined) spec.iscsi.iscsiInterface ||= "default";
  if (spec.rbd !== undefined) {
    spec.rbd.pool ||= "rbd";
    spec.rbd.user ||= "admin";
    spec.rbd.keyring ||= "/etc/ceph/keyring";
  }
  if (spec.scaleIO !== undefined) {
    spec.scaleIO.storageMode ||= "ThinProvisioned";
    spec.scaleIO.fsType ||= "xfs";
  }
  if (spec.azureDisk !== undefined) {
    spec.azureDisk.cachingMode ??= "ReadWrite";
    spec.azureDisk.kind ??= "Shared";
    spec.azureDisk.fsType ??= "ext4";
    spec.azureDisk.readOnly ??= false;
  }
}

export function validateSources(spec: PersistentVolumeSpec, volumeName: string): FieldCause[] {
  const [first, ...more] = sources.filter((name) => spec[name] !== undefined);
  if (first === undefined) return [required("spec", "must specify a volume type")];
  const source = spec[first];
  const path = `spec.${first}`;
  const message = fieldSchema("trireme.core.v1.PersistentVolumeSpec", first)?.message;
  return [
    ...(message !== undefined && isObject(source) ? checkRequired(message, source, path) : []),
    ...validateSource(spec, first, volumeName),
    ...more.map((name) => forbidden(`spec.${name}`, "may not specify more than 1 volume type")),
  ];
}

/** What is wrong beyond fields that are missing. */
function validateSource(
  spec: PersistentVolumeSpec,
  name: (typeof sources)[number],
  volumeName: string,
): FieldCause[] {
  const path = `spec.${name}`;
  const { hostPath, nfs, local, csi, iscsi, fc, flocker } = spec;
  if (name === "hostPath" && hostPath !== undefined) return validateHostPath(hostPath, path);
  if (name === "nfs" && !nfs?.path?.startsWith("/")) {
    return [invalid(`${path}.path`, nfs?.path ?? "", "must be an absolute path")];
  }
  if (name === "local") {
    const causes = local?.path?.split("/").includes("..")
      ? [invalid(`${path}.path`, local.path, "must not contain '..'")]
      : [];
    if (spec.nodeAffinity !== undefined) return causes;
    return [...causes, required("spec.nodeAffinity", "Local volume requires node affinity")];
  }
  if (name === "csi" && csi !== undefined) return validateCsi(csi, path);
  if (name === "iscsi" && iscsi !== undefined) return validateIscsi(iscsi, volumeName, path);
  if (name === "fc" && fc !== undefined) return validateFc(fc, path);
  if (name === "flocker" && flocker !== undefined) return validateFlocker(flocker, path);
  return [];
}

/** That the driver's name is missing has been said. */
function validateCsi(csi: CSIPersistentVolumeSource, path: string): FieldCause[] {
  const { driver = "" } = csi;
  const field = `${path}.driver`;
  const causes =
    driver === ""
      ? wrong(field, driver, checkSubdomain(driver))
      : validateDriverName(driver, field);
  const secrets = [
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
  ] as const;
  return [...causes, ...secrets.flatMap((name) => validateSecret(csi[name], `${path}.${name}`))];
}

function validateSecret(secret: SecretReference | undefined, path: string): FieldCause[] {
  if (secret === undefined) return [];
  const { name = "", namespace = "" } = secret;
  const check = (field: string, value: string, rule: (text: string) => string[]): FieldCause[] =>
    value === ""
      ? [required(`${path}.${field}`)]
      : rule(value).map((problem) => invalid(`${path}.${field}`, value, problem));
  return [...check("name", name, checkSubdomain), ...check("namespace", namespace, checkLabelName)];
}

const qualifiedName =
  /^(?:iqn\.\d{4}-\d{2}\.[A-Za-z\d.-]+:[^,;*&$|\s]+|eui\.[A-Za-z\d]{16}|naa\.[A-Za-z\d]{32})$/;

function validateIscsi(
  iscsi: ISCSIPersistentVolumeSource,
  volumeName: string,
  path: string,
): FieldCause[] {
  const { targetPortal = "", iqn = "", lun = 0, initiatorName, secretRef } = iscsi;
  const causes: FieldCause[] = [];
  if (initiatorName !== undefined && `${volumeName}:${targetPortal}`.length > 64) {
    const detail =
      "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if " +
      "iscsi.initiatorName is specified.";
    causes.push(invalid(`${path}.targetportal`, targetPortal, detail));
  }
  if (iqn !== "" && !qualifiedName.test(iqn)) {
    causes.push(invalid(`${path}.iqn`, iqn, "must be valid format"));
  }
  if (lun < 0 || lun > 255) {
    causes.push(invalid(`${path}.lun`, lun, "must be between 0 and 255, inclusive"));
  }
  if ((iscsi.chapAuthDiscovery || iscsi.chapAuthSession) && secretRef === undefined) {
    causes.push(required(`${path}.secretRef`));
  }
  if (secretRef !== undefined && !secretRef.name) causes.push(required(`${path}.secretRef.name`));
  if (initiatorName !== undefined && !qualifiedName.test(initiatorName)) {
    causes.push(invalid(`${path}.initiatorname`, initiatorName, "must be valid format"));
  }
  return causes;
}

function validateFc(fc: FCVolumeSource, path: string): FieldCause[] {
  const { targetWWNs = [], wwids = [], lun } = fc;
  const at = `${path}.targetWWNs`;
  const causes: FieldCause[] = [];
  if (targetWWNs.length === 0 && wwids.length === 0) {
    causes.push(required(at, "must specify either targetWWNs or wwids, but not both"));
  }
  if (targetWWNs.length === 0) return causes;
  if (wwids.length > 0) {
    const detail = "targetWWNs and wwids can not be specified simultaneously";
    causes.push(invalid(at, targetWWNs, detail));
  }
  if (lun === undefined) {
    causes.push(required(`${path}.lun`, "lun is required if targetWWNs is specified"));
  } else if (lun < 0 || lun > 255) {
    causes.push(invalid(`${path}.lun`, lun, "must be between 0 and 255, inclusive"));
  }
  return causes;
}

function validateFlocker(flocker: FlockerVolumeSource, path: string): FieldCause[] {
  const { datasetName = "", datasetUUID = "" } = flocker;
  const causes: FieldCause[] = [];
  if (datasetName === "" && datasetUUID === "") {
    causes.push(required(path, "one of datasetName and datasetUUID is required"));
  }
  if (datasetName !== "" && datasetUUID !== "") {
    const detail = "datasetName and datasetUUID can not be specified simultaneously";
    causes.push(invalid(path, "resource", detail));
  }
  if (datasetName.includes("/")) {
    causes.push(invalid(`${path}.datasetName`, datasetName, "must not contain '/'"));
  }
  return causes;
}
