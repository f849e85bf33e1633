/**
 * Images without a registry: a folder (`--image-root`) of OCI image layouts, each a directory or an
 * uncompressed tar archive of one, as `docker save`, `skopeo copy … oci-archive:` and
 * `ctr images export` write them. An image has the names that its layout's index gives it in the
 * annotation `io.containerd.image.name` or `org.opencontainers.image.ref.name`.
 *
 * The folder is looked at anew for each image that is asked for, so that a file put there later is
 * found; a file that has not changed is not read again.
 */
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Log } from "../../../../ha/runtime/types.ts";
import { fullReference, withoutTagOfDigest } from "../image-reference.ts";
import { directoryFiles, type LayoutFiles, tarFiles, unreadable } from "./files.ts";

/** OCI descriptor: what is stored under its digest. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** OCI image configuration, as far as a container is made of it. */
export interface ImageConfig {
  readonly config?: {
    readonly User?: string;
    readonly Env?: readonly string[];
    readonly Entrypoint?: readonly string[] | null;
    readonly Cmd?: readonly string[] | null;
    readonly WorkingDir?: string;
    readonly StopSignal?: string;
  };
  readonly rootfs?: { readonly diff_ids?: readonly string[] };
}

export interface LayoutImage {
  /** Full references. */
  readonly names: readonly string[];
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly configuration: ImageConfig;
  /** The blob's bytes; throws StatusError dataLoss when they are not what the digest says. */
  read(blob: Descriptor): AsyncGenerator<Uint8Array>;
}

const layoutLimits = {
  /** Layouts in the folder. */
  layouts: 1_000,
  /** Of an index, a manifest or a configuration. */
  documentBytes: 4 * 1024 * 1024,
  /** Indexes within indexes. */
  depth: 3,
  layers: 500,
} as const;

const nameAnnotations = ["io.containerd.image.name", "org.opencontainers.image.ref.name"] as const;
const indexTypes: readonly string[] = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
const digestShape = /^sha256:[0-9a-f]{64}$/;

interface IndexEntry extends Descriptor {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly os?: string; readonly architecture?: string };
}

interface KnownLayout {
  /** Of the file or the index, to see whether it has changed. */
  readonly version: string;
  readonly images: readonly LayoutImage[];
}

export class ImageLayouts {
  readonly #root: string;
  readonly #log: Log;
  readonly #known = new Map<string, KnownLayout>();

  constructor(root: string, log: Log) {
    this.#root = root;
    this.#log = log;
  }

  /** Throws StatusError when the folder cannot be read; a layout that cannot is only logged. */
  async find(reference: string): Promise<LayoutImage | undefined> {
    const full = fullReference(reference);
    const bare = withoutTagOfDigest(full);
    for (const { names, ...image } of await this.#images()) {
      const digests = names.map((name) => `${withoutTag(name)}@${image.manifest.digest}`);
      if (names.includes(full) || digests.includes(bare)) return { names, ...image };
    }
    return undefined;
  }

  async #images(): Promise<readonly LayoutImage[]> {
    const entries = await readdir(this.#root, { withFileTypes: true }).catch((error: unknown) => {
      throw unreadable(this.#root, (error as Error).message);
    });
    const chosen = entries
      .filter((entry) => entry.isDirectory() || /\.tar$/.test(entry.name))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    if (chosen.length > layoutLimits.layouts) {
      throw unreadable(this.#root, `more than ${layoutLimits.layouts} layouts`);
    }
    const present = new Set(chosen.map(({ name }) => name));
    for (const name of this.#known.keys()) if (!present.has(name)) this.#known.delete(name);
    const lists: (readonly LayoutImage[])[] = [];
    for (const entry of chosen) lists.push(await this.#layout(entry.name, entry.isDirectory()));
    return lists.flat();
  }

  async #layout(name: string, isDirectory: boolean): Promise<readonly LayoutImage[]> {
    const path = join(this.#root, name);
    const told = await stat(isDirectory ? join(path, "index.json") : path).catch(() => undefined);
    if (told === undefined) return []; // no layout, or one that has just gone
    const version = `${told.ino} ${told.size} ${told.mtimeMs}`;
    const known = this.#known.get(name);
    if (known?.version === version) return known.images;
    let images: readonly LayoutImage[] = [];
    try {
      images = await readLayout(path, isDirectory ? directoryFiles(path) : await tarFiles(path));
    } catch (error) {
      this.#log.warn("an image layout cannot be read", { path, error: (error as Error).message });
    }
    this.#known.set(name, { version, images });
    return images;
  }
}

function withoutTag(full: string): string {
  return full.replace(/:[\w.-]+$/, "");
}

async function readLayout(path: string, files: LayoutFiles): Promise<readonly LayoutImage[]> {
  const index = await files.small("index.json", layoutLimits.documentBytes);
  if (index === undefined) throw unreadable(path, "there is no index.json in it");
  const { manifests = [] } = parsed<{ manifests?: readonly IndexEntry[] }>(path, index);
  const images = new Map<string, LayoutImage>();
  for (const entry of manifests) {
    const names = nameAnnotations
      .flatMap((key) => entry.annotations?.[key] ?? [])
      // A bare tag is no name of an image.
      .filter((name) => /[/:]/.test(name))
      .map(fullReference);
    if (names.length === 0) continue;
    const manifest = await manifestOf(path, files, entry, layoutLimits.depth);
    if (manifest === undefined) continue;
    const known = images.get(manifest.digest);
    const all = [...new Set([...(known?.names ?? []), ...names])];
    images.set(manifest.digest, await imageOf(path, files, manifest, all));
  }
  return [...images.values()];
}

/** The manifest for this machine; undefined: there is none in the index. */
async function manifestOf(
  path: string,
  files: LayoutFiles,
  entry: IndexEntry,
  depth: number,
): Promise<Descriptor | undefined> {
  if (!indexTypes.includes(entry.mediaType)) return entry;
  if (depth === 0) throw unreadable(path, "indexes within indexes, too deep");
  const { manifests = [] } = await document<{ manifests?: readonly IndexEntry[] }>(
    path,
    files,
    entry,
  );
  const fitting = manifests.find(
    ({ platform }) =>
      platform === undefined ||
      (platform.os === "linux" && platform.architecture === architecture()),
  );
  return fitting === undefined ? undefined : manifestOf(path, files, fitting, depth - 1);
}

/** As Go and so OCI name it. */
function architecture(): string {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return names[process.arch] ?? process.arch;
}

async function imageOf(
  path: string,
  files: LayoutFiles,
  { mediaType, digest, size }: Descriptor,
  names: readonly string[],
): Promise<LayoutImage> {
  const manifest = { mediaType, digest, size };
  const content = await document<{ config?: Descriptor; layers?: readonly Descriptor[] }>(
    path,
    files,
    manifest,
  );
  const { config, layers = [] } = content;
  if (config === undefined) throw unreadable(path, `manifest ${digest} has no config`);
  if (layers.length > layoutLimits.layers) {
    throw unreadable(path, `an image of ${layers.length} layers, at most ${layoutLimits.layers}`);
  }
  return {
    names,
    manifest,
    config,
    layers,
    configuration: await document<ImageConfig>(path, files, config),
    read: (blob) => checkedBlob(path, files, blob),
  };
}

async function document<T>(path: string, files: LayoutFiles, blob: Descriptor): Promise<T> {
  if (blob.size > layoutLimits.documentBytes) {
    throw unreadable(path, `${blob.digest} is larger than ${layoutLimits.documentBytes} bytes`);
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of checkedBlob(path, files, blob)) pieces.push(piece);
  return parsed<T>(path, Buffer.concat(pieces));
}

async function* checkedBlob(
  path: string,
  files: LayoutFiles,
  { digest, size }: Descriptor,
): AsyncGenerator<Uint8Array> {
  if (!digestShape.test(digest ?? "")) throw unreadable(path, `"${digest}" is no sha256 digest`);
  const hash = createHash("sha256");
  let length = 0;
  for await (const piece of files.stream(`blobs/sha256/${digest.slice("sha256:".length)}`)) {
    length += piece.length;
    if (length > size) break;
    hash.update(piece);
    yield piece;
  }
  if (length !== size || `sha256:${hash.digest("hex")}` !== digest) {
    throw unreadable(path, `the content of ${digest} is not what its digest says`);
  }
}

function parsed<T>(path: string, bytes: Buffer): T {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as T;
  } catch (error) {
    throw StatusError.from(unreadable(path, (error as Error).message));
  }
  throw unreadable(path, "a document that is no object");
}
