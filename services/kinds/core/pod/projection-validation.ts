/** What the files of a volume are made of (upstream `validateProjectedVolumeSource` and its like). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  DownwardAPIVolumeFile,
  DownwardAPIVolumeSource,
  KeyToPath,
  ProjectedVolumeSource,
  ServiceAccountTokenProjection,
  VolumeProjection,
} from "../../../../proto/gen/core.ts";
import { forbidden, invalid, required } from "../../machinery/causes.ts";
import { fileMode, unreservedPath } from "./field-checks.ts";
import { validateFileSource } from "./reference-validation.ts";

const tokenSecondsMin = 600;
const tokenSecondsMax = 2 ** 32;

export function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldCause[] {
  return (items ?? []).flatMap(({ key = "", path: file = "", mode }, index) => {
    const at = `${path}[${index}]`;
    return [
      ...(key === "" ? [required(`${at}.key`)] : []),
      ...(file === "" ? [required(`${at}.path`)] : []),
      ...unreservedPath(file, `${at}.path`),
      ...fileMode(mode, `${at}.mode`),
    ];
  });
}

export function validateDownwardApi(source: DownwardAPIVolumeSource, path: string): FieldCause[] {
  return [
    ...fileMode(source.defaultMode, `${path}.defaultMode`),
    ...(source.items ?? []).flatMap((file) => validateFile(file, path)),
  ];
}

/** Upstream names the volume and not the element of its list. */
function validateFile(file: DownwardAPIVolumeFile, path: string): FieldCause[] {
  const { path: name = "", mode } = file;
  return [
    ...(name === "" ? [required(`${path}.path`)] : []),
    ...unreservedPath(name, `${path}.path`),
    ...validateFileSource(file, path),
    ...fileMode(mode, `${path}.mode`),
  ];
}

export function validateProjected(projected: ProjectedVolumeSource, path: string): FieldCause[] {
  const taken = new Set<string>();
  const causes = fileMode(projected.defaultMode, `${path}.defaultMode`);
  /** `shown`: the value that a refusal of a file shows. */
  const take = (file: string | undefined, shown: string): FieldCause[] => {
    if (!file) return [];
    if (taken.has(file)) return [invalid(path, shown, "conflicting duplicate paths")];
    taken.add(file);
    return [];
  };
  projected.sources?.forEach((source, index) => {
    const at = `${path}.sources[${index}]`;
    causes.push(...validateSource(source, at, path, take));
    const given = Object.values(source).filter((each) => each !== undefined);
    if (given.length <= 1) return;
    causes.push(forbidden(at, "may not specify more than 1 volume type per source"));
  });
  return causes;
}

type Take = (file: string | undefined, shown: string) => FieldCause[];

function validateSource(
  source: VolumeProjection,
  at: string,
  volumePath: string,
  take: Take,
): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const kind of ["secret", "configMap"] as const) {
    const projection = source[kind];
    if (projection === undefined) continue;
    const { name = "", items = [] } = projection;
    if (name === "") causes.push(required(`${at}.${kind}.name`));
    causes.push(...validateItems(items, `${at}.${kind}.items`));
    for (const item of items) causes.push(...take(item.path, name));
  }
  for (const file of source.downwardAPI?.items ?? []) {
    causes.push(...validateFile(file, `${at}.downwardAPI`), ...take(file.path, file.path ?? ""));
  }
  const token = source.serviceAccountToken;
  if (token === undefined) return causes;
  return [...causes, ...validateToken(token, `${at}.serviceAccountToken`, volumePath)];
}

function validateToken(
  token: ServiceAccountTokenProjection,
  at: string,
  volumePath: string,
): FieldCause[] {
  const { path = "", expirationSeconds: seconds = 0 } = token;
  const field = `${at}.expirationSeconds`;
  const causes: FieldCause[] = [];
  if (seconds < tokenSecondsMin) {
    causes.push(invalid(field, seconds, "may not specify a duration less than 10 minutes"));
  }
  if (seconds > tokenSecondsMax) {
    causes.push(invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"));
  }
  // Upstream looks for the path in the volume.
  if (path === "") causes.push(required(`${volumePath}.path`));
  return [...causes, ...unreservedPath(path, `${volumePath}.path`)];
}
