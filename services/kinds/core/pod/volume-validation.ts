/** Volumes of a pod (upstream `validation.ValidateVolumes`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  HostPathVolumeSource,
  KeyToPath,
  PersistentVolumeClaimTemplate,
  Volume,
} from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, required } from "../../machinery/causes.ts";
import { isObject } from "../../machinery/json.ts";
import { validateAnnotations, validateLabels } from "../../machinery/metadata.ts";
import { checkLabelName, checkSubdomain } from "../../machinery/names.ts";
import { parseQuantity, quantityMessage } from "../../machinery/quantity.ts";
import { checkRequired, fieldSchema } from "../../machinery/schema.ts";
import { validateClaimSpec } from "../claim-spec.ts";
import { claimNameOf } from "./claims.ts";
import { imagePullPolicies, oneOf, relativePath } from "./field-checks.ts";
import { validateFileSources } from "./reference-validation.ts";

const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

/** `podName`: of the pod that has the volumes, if it has a name already. */
export function validateVolumes(
  volumes: readonly Volume[],
  path: string,
  podName = "",
): FieldCause[] {
  const causes: FieldCause[] = [];
  const pod = { metadata: { name: podName } };
  const own = volumes.filter(({ ephemeral }) => podName !== "" && ephemeral !== undefined);
  const made = new Set(own.map((volume) => claimNameOf(pod, volume)));
  const names = new Set<string>();
  volumes.forEach((volume, index) => {
    const at = `${path}[${index}]`;
    const { name = "" } = volume;
    if (name === "") causes.push(required(`${at}.name`));
    else {
      for (const problem of checkLabelName(name)) causes.push(invalid(`${at}.name`, name, problem));
      if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    causes.push(...validateSource(volume, at));
    const { claimName } = volume.persistentVolumeClaim ?? {};
    if (claimName !== undefined && made.has(claimName)) {
      const detail = "must not reference a PVC that gets created for an ephemeral volume";
      causes.push(invalid(`${at}.persistentVolumeClaim.claimName`, claimName, detail));
    }
    if (!own.includes(volume) || name === "") return;
    const claim = claimNameOf(pod, volume) ?? "";
    for (const problem of checkSubdomain(claim)) {
      const detail = `PVC name ${JSON.stringify(claim)}: ${problem}`;
      causes.push(invalid(`${at}.name`, name, detail));
    }
  });
  return causes;
}

/** In this order upstream looks for the one source that a volume may have; others come behind. */
const sourceOrder = [
  ...["emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret"],
  ...["nfs", "iscsi", "glusterfs", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "flocker"],
  ...["downwardAPI", "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume", "quobyte"],
  ...["azureDisk", "photonPersistentDisk", "projected", "portworxVolume", "scaleIO", "csi"],
  ...["ephemeral", "image"],
];

/** The fields of a volume that name a source, the one that counts first. */
function sourcesOf(volume: Volume): string[] {
  const place = (name: string) => sourceOrder.indexOf(name) + 1 || sourceOrder.length + 1;
  return Object.entries(volume)
    .filter(([name, value]) => name !== "name" && isObject(value))
    .map(([name]) => name)
    .sort((one, other) => place(one) - place(other));
}

function validateSource(whole: Volume, path: string): FieldCause[] {
  const [name, ...others] = sourcesOf(whole);
  if (name === undefined) return [required(path, "must specify a volume type")];
  const causes: FieldCause[] = others.map((other) =>
    forbidden(`${path}.${other}`, "may not specify more than 1 volume type"),
  );
  const source = whole[name as keyof Volume];
  const volume: Volume = { [name]: source };
  const message = fieldSchema("trireme.core.v1.Volume", name)?.message;
  if (message !== undefined && isObject(source)) {
    causes.push(...checkRequired(message, source, `${path}.${name}`));
  }
  if (volume.hostPath !== undefined) {
    causes.push(...validateHostPath(volume.hostPath, `${path}.hostPath`));
  }
  const template = volume.ephemeral?.volumeClaimTemplate;
  if (volume.ephemeral !== undefined) {
    const at = `${path}.ephemeral.volumeClaimTemplate`;
    causes.push(...(template === undefined ? [required(at)] : validateTemplate(template, at)));
  }
  if (volume.image !== undefined) {
    if (!volume.image.reference) causes.push(required(`${path}.image.reference`));
    causes.push(...oneOf(volume.image.pullPolicy, imagePullPolicies, `${path}.image.pullPolicy`));
  }
  const sizeLimit = volume.emptyDir?.sizeLimit;
  if (sizeLimit !== undefined) {
    const quantity = parseQuantity(sizeLimit);
    const field = `${path}.emptyDir.sizeLimit`;
    if (quantity === undefined) causes.push(invalid(field, sizeLimit, quantityMessage));
    else if (quantity.nanos < 0n) {
      causes.push(invalid(field, sizeLimit, "must be greater than or equal to 0"));
    }
  }
  if (volume.secret !== undefined) {
    if (!volume.secret.secretName) causes.push(required(`${path}.secret.secretName`));
    causes.push(...validateItems(volume.secret.items, `${path}.secret.items`));
    causes.push(...validateMode(volume.secret.defaultMode, `${path}.secret.defaultMode`));
  }
  if (volume.configMap !== undefined) {
    if (!volume.configMap.name) causes.push(required(`${path}.configMap.name`));
    causes.push(...validateItems(volume.configMap.items, `${path}.configMap.items`));
    causes.push(...validateMode(volume.configMap.defaultMode, `${path}.configMap.defaultMode`));
  }
  const files = volume.downwardAPI?.items ?? [];
  causes.push(...validateFileSources(files, `${path}.downwardAPI.items`));
  volume.projected?.sources?.forEach((source, index) => {
    const at = `${path}.projected.sources[${index}].downwardAPI.items`;
    causes.push(...validateFileSources(source.downwardAPI?.items ?? [], at));
    const seconds = source.serviceAccountToken?.expirationSeconds;
    if (seconds === undefined || seconds >= 600) return;
    const field = `${path}.projected.sources[${index}].serviceAccountToken.expirationSeconds`;
    causes.push(invalid(field, seconds, "may not specify a duration less than 10 minutes"));
  });
  return causes;
}

/** Only labels and annotations of the metadata reach the claim. */
function validateTemplate(template: PersistentVolumeClaimTemplate, path: string): FieldCause[] {
  const { labels, annotations, ...others } = template.metadata ?? {};
  const set = Object.entries(others).filter(([, value]) => value !== undefined && value !== "");
  const notAllowed = "cannot be set for an ephemeral volume";
  return [
    ...validateAnnotations(annotations, `${path}.metadata.annotations`),
    ...validateLabels(labels, `${path}.metadata.labels`),
    // Upstream names these fields as its code does.
    ...set.map(([name]) => forbidden(`${path}.metadata.${capitalised(name)}`, notAllowed)),
    ...validateClaimSpec(template.spec ?? {}, `${path}.spec`),
  ];
}

function capitalised(name: string): string {
  return name === "uid" ? "UID" : `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

/** What is wrong beyond a path that is missing; also of persistent volumes. */
export function validateHostPath(source: HostPathVolumeSource, path: string): FieldCause[] {
  const { path: hostPath = "", type } = source;
  const causes = oneOf(type, hostPathTypes, `${path}.type`);
  if (!hostPath.split("/").includes("..")) return causes;
  return [invalid(`${path}.path`, hostPath, "must not contain '..'"), ...causes];
}

function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldCause[] {
  return (items ?? []).flatMap(({ path: file = "", mode }, index) => [
    ...relativePath(file, `${path}[${index}].path`),
    ...validateMode(mode, `${path}[${index}].mode`),
  ]);
}

function validateMode(mode: number | undefined, path: string): FieldCause[] {
  if (mode === undefined || (mode >= 0 && mode <= 0o777)) return [];
  return [invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}
