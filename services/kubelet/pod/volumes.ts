/**
 * Volumes as directories of the pod: `<root>/pods/<uid>/volumes/<name>`.
 *
 * The files of config maps, secrets and downward values change all at once (payload.ts).
 */
import { existsSync, type Stats, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { isAbsolute, join, normalize } from "node:path";
import type {
  DownwardAPIVolumeFile,
  HostPathVolumeSource,
  KeyToPath,
  Pod,
  Volume,
  VolumeMount,
  VolumeProjection,
} from "../../../proto/gen/core.ts";
import { claimNameOf } from "../../kinds/facts.ts";
import { attachmentOf, boundRequest, inlineRequest } from "../csi/requests.ts";
import type { CsiVolumes } from "../csi/volumes.ts";
import { ContainerConfigError, type Mount } from "../runtime/types.ts";
import type { AccountTokens } from "./account-tokens.ts";
import { claimedVolume, pathOfVolume } from "./claimed-volume.ts";
import { giveToGroup, prepareEmptyDir } from "./empty-dir.ts";
import { type ConfigSource, fieldValue, type PodFacts, resourceValue } from "./environment.ts";
import { safeRelative, type VolumeFile, writePayload } from "./payload.ts";
import { missingIn, subPathOf } from "./sub-path.ts";

const defaultFileMode = 0o644;
/** Upstream's default for a projected token. */
const tokenSecondsDefault = 3_600;

/**
 * Materialises every volume of the pod; run again it refreshes their content. `root`: the kubelet
 * may mount and change owners.
 */
export async function prepareVolumes(
  facts: PodFacts,
  volumesDir: string,
  source: ConfigSource,
  tokens: AccountTokens,
  root: boolean,
  csi?: CsiVolumes,
): Promise<ReadonlyMap<string, string>> {
  const fsGroup = root ? facts.pod.spec?.securityContext?.fsGroup : undefined;
  const prepare = async (volume: Volume): Promise<readonly [string, string]> => {
    const name = volume.name ?? "";
    try {
      const dir = join(volumesDir, safeRelative(name, `volume name "${name}"`));
      const where = await boundPath(facts, volume, source, dir, csi);
      if (where === undefined)
        await fillVolume(facts, volume, dir, { source, tokens, root, fsGroup });
      return [name, where ?? dir];
    } catch (error) {
      const text = `failed for volume ${JSON.stringify(name)} : ${(error as Error).message}`;
      throw new ContainerConfigError(text, { cause: error });
    }
  };
  // The runtime mounts images. What the others need of the API is asked for at once.
  const own = (facts.pod.spec?.volumes ?? []).filter(({ image }) => image === undefined);
  const results = await Promise.allSettled(own.map(prepare));
  return new Map(
    results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    }),
  );
}

/** Undefined: the volume is a directory of the pod. */
async function boundPath(
  facts: PodFacts,
  volume: Volume,
  source: ConfigSource,
  dir: string,
  csi: CsiVolumes | undefined,
): Promise<string | undefined> {
  const { pod } = facts;
  const { namespace = "", uid = "" } = pod.metadata ?? {};
  if (volume.hostPath !== undefined) return hostPath(volume.hostPath);
  if (volume.csi !== undefined && csi !== undefined) {
    const request = await inlineRequest(pod, volume.name ?? "", volume.csi, source);
    return csi.publish(dir, uid, request, async () => undefined);
  }
  const claimName = claimNameOf(pod, volume);
  if (claimName === undefined) return undefined;
  const owner = volume.ephemeral === undefined ? undefined : pod;
  const bound = await claimedVolume(source, namespace, claimName, owner);
  if (bound.spec?.csi === undefined || csi === undefined) return pathOfVolume(bound, claimName);
  const request = await boundRequest(pod, bound, source);
  const readOnly = request.readOnly || (volume.persistentVolumeClaim?.readOnly ?? false);
  const attachment = () => attachmentOf(request, facts.nodeName, source);
  return csi.publish(dir, uid, { ...request, readOnly }, attachment);
}

interface Means {
  readonly source: ConfigSource;
  readonly tokens: AccountTokens;
  readonly root: boolean;
  readonly fsGroup: number | undefined;
}

async function fillVolume(
  facts: PodFacts,
  volume: Volume,
  dir: string,
  { source, tokens, root, fsGroup }: Means,
): Promise<void> {
  const files = await filesOf(facts, volume, source, tokens);
  const isNew = !existsSync(dir);
  if (files === undefined) await prepareEmptyDir(dir, volume.emptyDir ?? {}, root);
  else {
    await mkdir(dir, { recursive: true, mode: 0o777 });
    await writePayload(dir, files);
  }
  // What the containers wrote since keeps the owner they gave it.
  if (fsGroup !== undefined && (isNew || files !== undefined)) {
    await giveToGroup(dir, fsGroup, files === undefined);
  }
}

/** Whether any volume's content can change while the pod runs. */
export function hasRefreshableVolumes(pod: Pod): boolean {
  return (pod.spec?.volumes ?? []).some(
    (volume) => volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected,
  );
}

/** Undefined: an empty directory. */
async function filesOf(
  facts: PodFacts,
  volume: Volume,
  source: ConfigSource,
  tokens: AccountTokens,
): Promise<readonly VolumeFile[] | undefined> {
  const namespace = facts.pod.metadata?.namespace ?? "";
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) {
    return configMapFiles(namespace, configMap, configMap.defaultMode, source);
  }
  if (secret !== undefined) {
    const named = { ...secret, name: secret.secretName };
    return secretFiles(namespace, named, secret.defaultMode, source);
  }
  if (downwardAPI !== undefined) {
    return downwardFiles(facts, downwardAPI.items ?? [], downwardAPI.defaultMode);
  }
  if (projected !== undefined) {
    const parts = (projected.sources ?? []).map((part) => {
      return projectedFiles(facts, volume, part, projected.defaultMode, source, tokens);
    });
    return (await Promise.all(parts)).flat();
  }
  const kind = Object.keys(volume).find((key) => key !== "name" && key !== "emptyDir");
  const asked = kind === undefined ? undefined : (volume as Record<string, unknown>)[kind];
  if (asked === undefined) return undefined;
  throw new ContainerConfigError(
    `volume "${volume.name}": ${kind} is not supported by this kubelet`,
  );
}

async function projectedFiles(
  facts: PodFacts,
  volume: Volume,
  part: VolumeProjection,
  mode: number | undefined,
  source: ConfigSource,
  tokens: AccountTokens,
): Promise<readonly VolumeFile[]> {
  const namespace = facts.pod.metadata?.namespace ?? "";
  const { configMap, secret, downwardAPI, serviceAccountToken } = part;
  if (configMap !== undefined) return configMapFiles(namespace, configMap, mode, source);
  if (secret !== undefined) return secretFiles(namespace, secret, mode, source);
  if (downwardAPI !== undefined) return downwardFiles(facts, downwardAPI.items ?? [], mode);
  if (serviceAccountToken !== undefined) {
    const {
      audience = "",
      path = "",
      expirationSeconds = tokenSecondsDefault,
    } = serviceAccountToken;
    const token = await tokens.get(facts, audience, expirationSeconds);
    return [{ path, content: Buffer.from(token), mode: mode ?? defaultFileMode }];
  }
  throw new ContainerConfigError(
    `volume "${volume.name}": projected clusterTrustBundle sources are not supported by this kubelet`,
  );
}

interface KeyedSource {
  readonly name?: string | undefined;
  readonly items?: readonly KeyToPath[] | undefined;
  readonly optional?: boolean | undefined;
}

async function configMapFiles(
  namespace: string,
  from: KeyedSource,
  mode: number | undefined,
  source: ConfigSource,
): Promise<readonly VolumeFile[]> {
  const found = await source.configMap(namespace, from.name ?? "");
  if (found === undefined && !from.optional) {
    throw new ContainerConfigError(`configmap "${from.name}" not found`);
  }
  const data = new Map<string, Buffer>();
  for (const [key, text] of Object.entries(found?.data ?? {})) data.set(key, Buffer.from(text));
  for (const [key, text] of Object.entries(found?.binaryData ?? {})) {
    data.set(key, Buffer.from(text, "base64"));
  }
  return keyedFiles(data, from, mode, `ConfigMap ${namespace}/${from.name}`);
}

async function secretFiles(
  namespace: string,
  from: KeyedSource,
  mode: number | undefined,
  source: ConfigSource,
): Promise<readonly VolumeFile[]> {
  const found = await source.secret(namespace, from.name ?? "");
  if (found === undefined && !from.optional) {
    throw new ContainerConfigError(`secret "${from.name}" not found`);
  }
  const data = new Map<string, Buffer>();
  for (const [key, text] of Object.entries(found?.data ?? {})) {
    data.set(key, Buffer.from(text, "base64"));
  }
  return keyedFiles(data, from, mode, `Secret ${namespace}/${from.name}`);
}

function keyedFiles(
  data: ReadonlyMap<string, Buffer>,
  from: KeyedSource,
  mode: number | undefined,
  owner: string,
): readonly VolumeFile[] {
  const items = from.items ?? [];
  if (items.length === 0) {
    return [...data].map(([key, content]) => ({
      path: key,
      content,
      mode: mode ?? defaultFileMode,
    }));
  }
  const files: VolumeFile[] = [];
  for (const item of items) {
    const content = data.get(item.key ?? "");
    if (content === undefined) {
      if (from.optional) continue;
      throw new ContainerConfigError(`couldn't find key ${item.key} in ${owner}`);
    }
    const path = item.path ?? item.key ?? "";
    files.push({ path, content, mode: item.mode ?? mode ?? defaultFileMode });
  }
  return files;
}

function downwardFiles(
  facts: PodFacts,
  items: readonly DownwardAPIVolumeFile[],
  mode: number | undefined,
): readonly VolumeFile[] {
  return items.map((item) => {
    const ref = item.resourceFieldRef;
    const container = facts.pod.spec?.containers?.find((one) => one.name === ref?.containerName);
    const value =
      ref === undefined
        ? fieldValue(facts, item.fieldRef?.fieldPath ?? "")
        : resourceValue(facts, container, ref);
    if (value === undefined) {
      const path = item.fieldRef?.fieldPath ?? ref?.resource;
      throw new ContainerConfigError(`downwardAPI: unsupported field ${path}`);
    }
    const content = Buffer.from(value);
    return { path: item.path ?? "", content, mode: item.mode ?? mode ?? defaultFileMode };
  });
}

/** What a path of a type must be, in the words of a refusal. */
const pathKinds: Readonly<Record<string, readonly [(stat: Stats) => boolean, string]>> = {
  Directory: [(stat) => stat.isDirectory(), "directory"],
  DirectoryOrCreate: [(stat) => stat.isDirectory(), "directory"],
  File: [(stat) => stat.isFile(), "file"],
  FileOrCreate: [(stat) => stat.isFile(), "file"],
  Socket: [(stat) => stat.isSocket(), "socket file"],
  CharDevice: [(stat) => stat.isCharacterDevice(), "character device"],
  BlockDevice: [(stat) => stat.isBlockDevice(), "block device"],
};

/** Without a type nothing is checked, and a path that is not there becomes a directory. */
async function hostPath(from: HostPathVolumeSource): Promise<string> {
  const { path = "", type = "" } = from;
  if (!isAbsolute(path)) throw new ContainerConfigError(`hostPath ${path} must be absolute`);
  const there = existsSync(path);
  if (!there && (type === "" || type === "DirectoryOrCreate")) {
    await mkdir(path, { recursive: true, mode: 0o755 });
  }
  if (!there && type === "FileOrCreate") await writeFile(path, "", { mode: 0o644 });
  if (type === "") return path;
  const kind = pathKinds[type];
  if (kind === undefined) throw new ContainerConfigError(`${type} is an invalid volume type`);
  const [fits, name] = kind;
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && fits(stat)) return path;
  throw new ContainerConfigError(`hostPath type check failed: ${path} is not a ${name}`);
}

/** What a container mounts; subPath is made when it is not there, as upstream does. */
export async function mountsOf(
  volumeMounts: readonly VolumeMount[],
  paths: ReadonlyMap<string, string>,
  expandText: (text: string) => string,
  pod: Pod = {},
  container = "",
): Promise<readonly Mount[]> {
  const mounts: Mount[] = [];
  for (const mount of volumeMounts) {
    const volume = pod.spec?.volumes?.find(({ name }) => name === mount.name);
    const base = volume?.image === undefined ? paths.get(mount.name ?? "") : "";
    if (base === undefined) {
      throw new ContainerConfigError(`volumeMounts: no volume is named "${mount.name}"`);
    }
    const containerPath = mount.mountPath ?? "";
    if (!isAbsolute(containerPath)) {
      throw new ContainerConfigError(`volumeMounts: mountPath "${containerPath}" must be absolute`);
    }
    const readOnly = mount.readOnly || volume?.persistentVolumeClaim?.readOnly;
    mounts.push({
      containerPath: normalize(containerPath),
      ...(volume?.image === undefined
        ? {
            hostPath: await partOf(base, mount, expandText, container),
            readOnly: readOnly ?? false,
          }
        : {
            ...{ hostPath: "", readOnly: true, image: volume.image.reference ?? "" },
            subPath: subPathIn(mount, expandText),
          }),
    });
  }
  return mounts;
}

/** Empty: the whole volume. Throws ContainerConfigError. */
function subPathIn(mount: VolumeMount, expandText: (text: string) => string): string {
  const { subPath = "", subPathExpr = "" } = mount;
  const missing = missingIn(subPathExpr, expandText);
  if (missing.length > 0) {
    throw new ContainerConfigError(`missing value for ${missing.sort().join(", ")}`);
  }
  return subPathExpr === "" ? subPath : expandText(subPathExpr);
}

/** The volume itself, or the part of it that the mount names. Throws ContainerConfigError. */
async function partOf(
  base: string,
  mount: VolumeMount,
  expandText: (text: string) => string,
  container: string,
): Promise<string> {
  const inner = subPathIn(mount, expandText);
  if (inner === "") return base;
  try {
    return await subPathOf(base, inner);
  } catch (error) {
    const text = `failed to prepare subPath for volumeMount "${mount.name}" of container "${container}"`;
    throw new ContainerConfigError(`${text}: ${(error as Error).message}`, { cause: error });
  }
}
