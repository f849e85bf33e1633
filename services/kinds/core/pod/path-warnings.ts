/** Files of a volume of which one hides another (upstream `warningsForOverlappingVirtualPaths`). */
import type { Volume, VolumeProjection } from "../../../../proto/gen/core.ts";

interface Placed {
  readonly path: string;
  /** What gives the volume the file. */
  readonly source: string;
}

export function pathWarnings(volumes: readonly Volume[]): string[] {
  return volumes.flatMap(({ name = "", configMap, secret, downwardAPI, projected }) => {
    const volume = `volume ${JSON.stringify(name)}`;
    return [
      ...alike(configMap?.items, `${volume} (ConfigMap ${JSON.stringify(configMap?.name ?? "")})`),
      ...alike(secret?.items, `${volume} (Secret ${JSON.stringify(secret?.secretName ?? "")})`),
      ...alike(downwardAPI?.items, `${volume} (DownwardAPI)`),
      ...ofProjected(projected?.sources ?? [], volume),
    ];
  });
}

type Items = readonly { readonly path?: string | undefined }[] | undefined;

function placed(items: Items, source: string): Placed[] {
  return (items ?? []).map(({ path = "" }) => ({ path: path.replace(/\/+$/, ""), source }));
}

function alike(items: Items, volume: string): string[] {
  return overlaps(placed(items, "")).map(
    ([one, other]) =>
      `${volume}: overlapping paths: ${JSON.stringify(one.path)} with ${JSON.stringify(other.path)}`,
  );
}

function ofProjected(sources: readonly VolumeProjection[], volume: string): string[] {
  const shown = ({ path, source }: Placed) => `${JSON.stringify(path)} (${source})`;
  const empty = sources.filter((source) => Object.keys(source).length === 0);
  return [
    ...empty.map(() => `${volume} (Projected) has no sources provided`),
    ...overlaps(sources.flatMap(filesOf)).map(
      ([one, other]) =>
        `${volume} (Projected): overlapping paths: ${shown(one)} with ${shown(other)}`,
    ),
  ];
}

function filesOf(source: VolumeProjection): Placed[] {
  const { configMap, secret, downwardAPI, serviceAccountToken: token } = source;
  if (configMap?.items !== undefined) {
    return placed(configMap.items, `ConfigMap ${JSON.stringify(configMap.name ?? "")}`);
  }
  if (secret?.items !== undefined) {
    return placed(secret.items, `Secret ${JSON.stringify(secret.name ?? "")}`);
  }
  if (downwardAPI !== undefined) return placed(downwardAPI.items, "DownwardAPI");
  return token === undefined ? [] : placed([token], "ServiceAccountToken");
}

/** Each file with those before it that are the same, below it or above it. */
function overlaps(files: readonly Placed[]): [Placed, Placed][] {
  return files.flatMap((one, index) =>
    files
      .slice(0, index)
      .filter((other) => isWithin(one.path, other.path) || isWithin(other.path, one.path))
      .map((other): [Placed, Placed] => [one, other]),
  );
}

function isWithin(path: string, folder: string): boolean {
  return path !== "" && folder !== "" && `${path}/`.startsWith(`${folder}/`);
}
