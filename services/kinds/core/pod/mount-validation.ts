/** Where a container has its volumes (upstream `ValidateVolumeMounts`, `ValidateVolumeDevices`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { Container, Volume, VolumeMount } from "../../../../proto/gen/core.ts";
import { forbidden, invalid, notFound, required } from "../../machinery/causes.ts";
import { oneOf, relativePath, withoutBacksteps } from "./field-checks.ts";

type Volumes = ReadonlyMap<string, Volume>;

const readOnlyModes = ["Disabled", "Enabled", "IfPossible"];

/** Of some fields upstream names the list and not the element. */
export function validateMounts(container: Container, path: string, volumes: Volumes): FieldCause[] {
  const devices = container.volumeDevices ?? [];
  const deviceNames = new Set(devices.map(({ name = "" }) => name));
  const devicePaths = new Set(devices.map(({ devicePath = "" }) => devicePath));
  const paths = new Set<string>();
  return (container.volumeMounts ?? []).flatMap((mount, index) => {
    const { name = "", mountPath = "", subPath = "", subPathExpr = "" } = mount;
    const at = `${path}[${index}]`;
    const causes: FieldCause[] = [];
    if (name === "") causes.push(required(`${at}.name`));
    if (!volumes.has(name)) causes.push(notFound(`${at}.name`, name));
    if (mountPath === "") causes.push(required(`${at}.mountPath`));
    if (paths.has(mountPath)) causes.push(invalid(`${at}.mountPath`, mountPath, "must be unique"));
    paths.add(mountPath);
    if (deviceNames.has(name)) {
      causes.push(invalid(`${at}.name`, name, "must not already exist in volumeDevices"));
    }
    if (devicePaths.has(mountPath)) {
      const detail = "must not already exist as a path in volumeDevices";
      causes.push(invalid(`${at}.mountPath`, mountPath, detail));
    }
    causes.push(...relativePath(subPath, `${path}.subPath`));
    if (subPath !== "" && subPathExpr !== "") {
      const detail = "subPathExpr and subPath are mutually exclusive";
      causes.push(invalid(`${at}.subPathExpr`, subPathExpr, detail));
    }
    causes.push(...relativePath(subPathExpr, `${path}.subPathExpr`));
    return [...causes, ...validatePropagation(mount, container, path)];
  });
}

function validatePropagation(mount: VolumeMount, container: Container, path: string): FieldCause[] {
  const { mountPropagation: propagation, recursiveReadOnly } = mount;
  const field = `${path}.mountPropagation`;
  const causes = oneOf(propagation, ["Bidirectional", "HostToContainer", "None"], field);
  if (propagation === "Bidirectional" && container.securityContext?.privileged !== true) {
    const detail = "Bidirectional mount propagation is available only to privileged containers";
    causes.push(forbidden(field, detail));
  }
  const readOnly = `${path}.recursiveReadOnly`;
  causes.push(...oneOf(recursiveReadOnly, readOnlyModes, readOnly));
  if (recursiveReadOnly !== "Enabled" && recursiveReadOnly !== "IfPossible") return causes;
  if (mount.readOnly !== true) {
    causes.push(forbidden(readOnly, "may only be specified when readOnly is true"));
  }
  if (propagation === undefined || propagation === "None") return causes;
  const detail = "may only be specified when mountPropagation is None or not specified";
  return [...causes, forbidden(readOnly, detail)];
}

export function validateDevices(
  container: Container,
  path: string,
  volumes: Volumes,
): FieldCause[] {
  const mounts = container.volumeMounts ?? [];
  const mountNames = new Set(mounts.map(({ name = "" }) => name));
  const mountPaths = new Set(mounts.map(({ mountPath = "" }) => mountPath));
  const names = new Set<string>();
  const paths = new Set<string>();
  return (container.volumeDevices ?? []).flatMap(({ name = "", devicePath = "" }, index) => {
    const at = `${path}[${index}]`;
    const causes: FieldCause[] = [];
    const refuse = (field: "name" | "devicePath", detail: string) => {
      causes.push(invalid(`${at}.${field}`, field === "name" ? name : devicePath, detail));
    };
    if (name === "") causes.push(required(`${at}.name`));
    if (names.has(name)) refuse("name", "must be unique");
    const volume = volumes.get(name);
    if (volume === undefined) causes.push(notFound(`${at}.name`, name));
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined) {
      const types = "PersistentVolumeClaim or Ephemeral for block mode";
      refuse("name", `can only use volume source type of ${types}`);
    }
    if (devicePath === "") causes.push(required(`${at}.devicePath`));
    if (paths.has(devicePath)) refuse("devicePath", "must be unique");
    if (withoutBacksteps(devicePath, at).length > 0) {
      refuse("devicePath", "can not contain backsteps ('..')");
    } else paths.add(devicePath);
    if (mountNames.has(name)) refuse("name", "must not already exist in volumeMounts");
    if (mountPaths.has(devicePath)) {
      refuse("devicePath", "must not already exist as a path in volumeMounts");
    }
    if (name !== "") names.add(name);
    return causes;
  });
}
