/**
 * Unpacks an image's layers, one over the other, as the tree of a root file system. Nothing is
 * written outside of the tree, whatever links the layers hold.
 */
import {
  chmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readlink,
  rm,
  symlink,
} from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Descriptor, LayoutImage } from "./mod.ts";
import { type ByteSource, type TarEntry, tarEntries } from "./tar.ts";

const unpackLimits = {
  entries: 200_000,
  bytes: 2 * 1024 * 1024 * 1024,
  /** Links that lead to links. */
  links: 40,
} as const;

/** OCI image layer specification, "whiteouts". */
const whiteout = ".wh.";
const opaque = ".wh..wh..opq";

/**
 * Returns the bytes of the files. Throws StatusError; what was written until then stays. `owners`:
 * files get their owners, which takes root.
 */
export async function unpackImage(
  image: LayoutImage,
  root: string,
  owners: boolean,
): Promise<number> {
  const tree = new Tree(root, owners);
  await mkdir(root, { recursive: true, mode: 0o755 });
  for (const layer of image.layers) {
    const source = sourceOf(Readable.from(image.read(layer)), layer);
    const own = new Set<string>();
    for await (const entry of tarEntries(source)) {
      await tree.put(entry, own).catch((error: unknown) => {
        if (error instanceof StatusError) throw error;
        // What the layer asks for cannot be, or the disk is full: the machine's own words.
        throw new StatusError(Code.unknown, `"${entry.path}": ${(error as Error).message}`);
      });
    }
    await source.skip(Number.POSITIVE_INFINITY); // the digest is checked at the end
  }
  return tree.bytes;
}

function sourceOf(stored: Readable, { mediaType }: Descriptor): ByteSource {
  const unpacked = unpackedStream(stored, mediaType);
  const pieces = unpacked[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let piece: Buffer = Buffer.alloc(0);
  const fill = async () => {
    while (piece.length === 0) {
      const step = await pieces.next();
      if (step.done) return false;
      piece = step.value;
    }
    return true;
  };
  return {
    async read(bytesMax) {
      await fill();
      const taken = piece.subarray(0, bytesMax);
      piece = piece.subarray(taken.length);
      return taken;
    },
    async skip(bytes) {
      for (let left = bytes; left > 0 && (await fill()); ) {
        const taken = Math.min(left, piece.length);
        piece = piece.subarray(taken);
        left -= taken;
      }
    },
  };
}

function unpackedStream(stored: Readable, mediaType: string): Readable {
  const packer = /[+.](gzip|zstd)$/.exec(mediaType)?.[1];
  if (packer === undefined && /\.tar$/.test(mediaType)) return stored;
  if (packer === undefined) {
    throw refused(`a layer of type "${mediaType}" cannot be unpacked`);
  }
  const unpacking = packer === "gzip" ? createGunzip() : createZstdDecompress();
  stored.on("error", (error) => unpacking.destroy(error));
  return stored.pipe(unpacking);
}

class Tree {
  readonly #root: string;
  readonly #owners: boolean;
  #entries = 0;
  bytes = 0;

  constructor(root: string, owners: boolean) {
    this.#root = root;
    this.#owners = owners;
  }

  /** `own`: paths of the layer, which its whiteouts do not hide. */
  async put(entry: TarEntry, own: Set<string>): Promise<void> {
    this.#entries += 1;
    if (this.#entries > unpackLimits.entries) {
      throw refused(`an image of more than ${unpackLimits.entries} files`);
    }
    const parts = entry.path.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) throw refused(`"${entry.path}" leads out of the image`);
    const name = parts.pop();
    if (name === undefined) return; // the root itself
    const folder = await this.#folder(parts);
    if (name.startsWith(whiteout)) return this.#hide(folder, name, own);
    const path = join(folder, name);
    own.add(path);
    await this.#write(entry, path);
  }

  async #hide(folder: string, name: string, own: ReadonlySet<string>): Promise<void> {
    const hidden = name.slice(whiteout.length);
    if (["", ".", ".."].includes(hidden)) throw refused(`"${name}" hides no file of the image`);
    for (const each of name === opaque ? await readdir(folder) : [hidden]) {
      const path = join(folder, each);
      if (!own.has(path)) await rm(path, { recursive: true, force: true });
    }
  }

  async #write(entry: TarEntry, path: string): Promise<void> {
    const there = await lstat(path).catch(() => undefined); // not there
    const keeps = there?.isDirectory() === true && entry.type === "directory";
    if (there !== undefined && !keeps) await rm(path, { recursive: true });
    switch (entry.type) {
      case "directory":
        if (!keeps) await mkdir(path);
        break;
      case "file":
        await this.#file(entry, path);
        break;
      case "symlink":
        await symlink(entry.target, path);
        break;
      case "link": {
        const parts = entry.target.split("/").filter((part) => part !== "" && part !== ".");
        if (parts.includes("..")) throw refused(`link "${entry.target}" leads out of the image`);
        const name = parts.pop() ?? "";
        await link(join(await this.#folder(parts), name), path);
        return; // it has owner and mode of the file
      }
      default:
        return; // devices come from the machine
    }
    if (this.#owners) await lchown(path, entry.uid, entry.gid);
    // Behind the change of owner, which takes set-user-ID bits away.
    if (entry.type !== "symlink") await chmod(path, entry.mode);
    if (entry.type === "file") await lutimes(path, entry.mtimeSeconds, entry.mtimeSeconds);
  }

  async #file(entry: TarEntry, path: string): Promise<void> {
    this.bytes += entry.size;
    if (this.bytes > unpackLimits.bytes) {
      throw refused(`an image of more than ${unpackLimits.bytes} bytes`);
    }
    const file = await open(path, "wx", 0o600);
    try {
      for await (const piece of entry.body()) await file.write(piece);
    } finally {
      await file.close();
    }
  }

  /** The folder, made where it is missing; links on the way are followed within the tree. */
  async #folder(parts: readonly string[]): Promise<string> {
    const waiting = [...parts];
    let at: string[] = [];
    for (let links = 0; waiting.length > 0; ) {
      const part = waiting.shift() ?? "";
      if (part === "..") {
        at = at.slice(0, -1);
        continue;
      }
      const path = join(this.#root, ...at, part);
      const there = await lstat(path).catch(() => undefined); // not there
      if (there?.isSymbolicLink()) {
        links += 1;
        if (links > unpackLimits.links) throw refused("links without end in an image");
        const target = await readlink(path);
        if (isAbsolute(target)) at = [];
        waiting.unshift(...target.split("/").filter((each) => each !== "" && each !== "."));
        continue;
      }
      if (there === undefined) await mkdir(path, { mode: 0o755 });
      else if (!there.isDirectory()) throw refused(`"${dirname(path)}" is no directory`);
      at.push(part);
    }
    return join(this.#root, ...at);
  }
}

function refused(why: string): StatusError {
  return new StatusError(Code.failedPrecondition, why);
}
