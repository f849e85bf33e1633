/** Volumes of a pod (upstream `validation.ValidateVolumes`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  CSIVolumeSource,
  HostPathVolumeSource,
  PersistentVolumeClaimTemplate,
  Volume,
} from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, required } from "../../machinery/causes.ts";
import { validateDriverName, wrong } from "../../machinery/field-rules.ts";
import { isObject } from "../../machinery/json.ts";
import { validateAnnotations, validateLabels } from "../../machinery/metadata.ts";
import { checkLabelName, checkSubdomain } from "../../machinery/names.ts";
import { parseQuantity, quantityMessage } from "../../machinery/quantity.ts";
import { checkRequired, fieldSchema } from "../../machinery/schema.ts";
import { validateClaimSpec } from "../claim-spec.ts";
import { claimNameOf } from "./claims.ts";
import { fileMode, imagePullPolicies, oneOf, withoutBacksteps } from "./field-checks.ts";
import { validateDownwardApi, validateItems, validateProjected } from "./projection-validation.ts";

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

export interface VolumeCheck {
  readonly causes: FieldCause[];
  /** The volumes that are in order, by name: those that containers can use. */
  readonly volumes: ReadonlyMap<string, Volume>;
}

/** `podName`: of the pod that has the volumes, if it has a name already. */
export function validateVolumes(
  volumes: readonly Volume[],
  path: string,
  podName = "",
): VolumeCheck {
  const causes: FieldCause[] = [];
  const pod = { metadata: { name: podName } };
  const own = volumes.filter(({ ephemeral }) => podName !== "" && ephemeral !== undefined);
  const made = new Set(own.map((volume) => claimNameOf(pod, volume)));
  const known = new Map<string, Volume>();
  volumes.forEach((volume, index) => {
    const at = `${path}[${index}]`;
    const { name = "" } = volume;
    const found = validateSource(volume, at);
    if (own.includes(volume) && name !== "") {
      const claim = claimNameOf(pod, volume) ?? "";
      for (const problem of checkSubdomain(claim)) {
        const detail = `PVC name ${JSON.stringify(claim)}: ${problem}`;
        found.push(invalid(`${at}.name`, name, detail));
      }
    }
    if (name === "") found.push(required(`${at}.name`));
    else {
      for (const problem of checkLabelName(name)) found.push(invalid(`${at}.name`, name, problem));
    }
    if (known.has(name)) found.push(duplicate(`${at}.name`, name));
    if (found.length === 0) known.set(name, volume);
    causes.push(...found);
    const { claimName } = volume.persistentVolumeClaim ?? {};
    if (claimName !== undefined && made.has(claimName)) {
      const detail = "must not reference a PVC that gets created for an ephemeral volume";
      causes.push(invalid(`${at}.persistentVolumeClaim.claimName`, claimName, detail));
    }
  });
  return { causes, volumes: known };
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
  const at = `${path}.${name}`;
  return [
    ...validateFirst({ [name]: whole[name as keyof Volume] }, name, at),
    ...others.map((other) =>
      forbidden(`${path}.${other}`, "may not specify more than 1 volume type"),
    ),
  ];
}

/** `volume`: with the one source that counts. */
function validateFirst(volume: Volume, name: string, at: string): FieldCause[] {
  const { emptyDir, hostPath, secret, configMap, downwardAPI, projected } = volume;
  const { csi, nfs, ephemeral, image } = volume;
  if (emptyDir !== undefined) return validateSizeLimit(emptyDir.sizeLimit, `${at}.sizeLimit`);
  if (hostPath !== undefined) {
    return hostPath.path ? validateHostPath(hostPath, at) : [required(`${at}.path`)];
  }
  if (secret !== undefined) {
    return [
      ...(secret.secretName ? [] : [required(`${at}.secretName`)]),
      ...fileMode(secret.defaultMode, `${at}.defaultMode`),
      ...validateItems(secret.items, `${at}.items`),
    ];
  }
  if (configMap !== undefined) {
    return [
      ...(configMap.name ? [] : [required(`${at}.name`)]),
      ...fileMode(configMap.defaultMode, `${at}.defaultMode`),
      ...validateItems(configMap.items, `${at}.items`),
    ];
  }
  if (downwardAPI !== undefined) return validateDownwardApi(downwardAPI, at);
  if (projected !== undefined) return validateProjected(projected, at);
  if (csi !== undefined) return validateCsi(csi, at);
  if (ephemeral !== undefined) {
    const { volumeClaimTemplate: template } = ephemeral;
    const field = `${at}.volumeClaimTemplate`;
    return template === undefined ? [required(field)] : validateTemplate(template, field);
  }
  if (image !== undefined) {
    return [
      ...(image.reference ? [] : [required(`${at}.reference`)]),
      ...oneOf(image.pullPolicy, imagePullPolicies, `${at}.pullPolicy`),
    ];
  }
  const message = fieldSchema("trireme.core.v1.Volume", name)?.message;
  const source = volume[name as keyof Volume];
  const causes =
    message !== undefined && isObject(source) ? checkRequired(message, source, at) : [];
  if (nfs === undefined || nfs.path?.startsWith("/")) return causes;
  return [...causes, invalid(`${at}.path`, nfs.path ?? "", "must be an absolute path")];
}

function validateSizeLimit(sizeLimit: string | undefined, path: string): FieldCause[] {
  if (sizeLimit === undefined) return [];
  const quantity = parseQuantity(sizeLimit);
  if (quantity === undefined) return [invalid(path, sizeLimit, quantityMessage)];
  if (quantity.nanos >= 0n) return [];
  return [forbidden(path, "SizeLimit field must be a valid resource quantity")];
}

function validateCsi({ driver = "", nodePublishSecretRef }: CSIVolumeSource, at: string) {
  const causes = validateDriverName(driver, `${at}.driver`);
  if (nodePublishSecretRef === undefined) return causes;
  const { name = "" } = nodePublishSecretRef;
  if (name === "") return [...causes, required(`${at}.nodePublishSecretRef.name`)];
  // Upstream leaves the reference out of the path.
  return [...causes, ...wrong(`${at}.name`, name, checkSubdomain(name))];
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
  return [
    ...withoutBacksteps(source.path ?? "", `${path}.path`),
    ...oneOf(source.type, hostPathTypes, `${path}.type`),
  ];
}
