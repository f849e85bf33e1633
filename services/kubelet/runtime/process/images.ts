/**
 * The images of the process runtime. An image is a name alone: the programs are those of this
 * machine, so a pull downloads nothing and only notes the name. The notes decide what
 * `imagePullPolicy: Never` finds, and are reported to the scheduler. An image's size is that of the
 * largest program that ran under its name, because nothing else would have to be moved.
 */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { checkReference, withTag } from "../image-reference.ts";
import type { Image, ImageService } from "../images.ts";
import type { LayoutImage } from "../layouts/mod.ts";
import { readIfThere, writeFileAtomic } from "./files.ts";
import type { UnpackedImage } from "./image-root.ts";

const imagesMax = 1_000;

interface ImageRecord {
  /** Names that were pulled, all of one normal form. */
  names: string[];
  sizeBytes: number;
  usedAt: number;
  /** Of an image that came from a layout. */
  unpacked?: UnpackedImage;
}

/** Where images are found whose programs are not this machine's. */
export interface LayoutSource {
  find(reference: string): Promise<LayoutImage | undefined>;
  unpack(image: LayoutImage): Promise<UnpackedImage>;
}

export function imageIdOf(reference: string): string {
  return `sha256:${createHash("sha256").update(withTag(reference)).digest("hex")}`;
}

export class ProcessImages implements ImageService {
  readonly #path: string;
  readonly #inUse: () => ReadonlySet<string>;
  readonly #layouts: LayoutSource | undefined;
  readonly #images = new Map<string, ImageRecord>();

  /** `inUse`: ids of the images that containers are made from. */
  constructor(root: string, inUse: () => ReadonlySet<string>, layouts?: LayoutSource) {
    this.#layouts = layouts;
    this.#path = join(root, "images.json");
    this.#inUse = inUse;
  }

  load(): void {
    const text = readIfThere(this.#path);
    if (text === undefined) return;
    const stored = JSON.parse(text) as Record<string, ImageRecord>;
    for (const [id, image] of Object.entries(stored)) this.#images.set(id, image);
  }

  list(): readonly Image[] {
    return [...this.#images].map(([id, image]) => imageOf(id, image));
  }

  status(reference: string): Image | undefined {
    const id = imageIdOf(reference);
    const image = this.#images.get(id);
    return image === undefined ? undefined : imageOf(id, image);
  }

  async pull(reference: string): Promise<Image> {
    checkReference(reference);
    const id = imageIdOf(reference);
    const image: ImageRecord = this.#images.get(id) ?? { names: [], sizeBytes: 0, usedAt: 0 };
    await this.#unpack(reference, image);
    image.usedAt = Date.now();
    const isNew = !image.names.includes(reference);
    if (isNew) image.names.push(reference);
    this.#images.set(id, image);
    this.#forgetOldest();
    if (isNew) this.#write();
    return imageOf(id, image);
  }

  async remove(reference: string): Promise<void> {
    const id = imageIdOf(reference);
    if (this.#inUse().has(id)) {
      throw new StatusError(Code.failedPrecondition, `image "${reference}" is in use`);
    }
    const unpacked = this.#images.get(id)?.unpacked;
    if (!this.#images.delete(id)) return;
    await this.#removeTree(unpacked);
    this.#write();
  }

  /** A program of this size runs under the image's name. */
  used(reference: string, programBytes: number): void {
    const image = this.#images.get(imageIdOf(reference));
    if (image === undefined) return;
    image.usedAt = Date.now();
    if (programBytes <= image.sizeBytes) return;
    image.sizeBytes = programBytes;
    this.#write();
  }

  /** What containers of the image are made from; undefined: from programs of this machine. */
  unpacked(reference: string): UnpackedImage | undefined {
    return this.#images.get(imageIdOf(reference))?.unpacked;
  }

  /** An image that has been unpacked stays as it is while containers may use it. */
  async #unpack(reference: string, image: ImageRecord): Promise<void> {
    if (this.#layouts === undefined || image.unpacked !== undefined) return;
    const found = await this.#layouts.find(reference);
    if (found === undefined) return;
    const same = [...this.#images.values()].find(
      ({ unpacked }) => unpacked?.digest === found.config.digest,
    );
    image.unpacked = same?.unpacked ?? (await this.#layouts.unpack(found));
    image.sizeBytes = image.unpacked.bytes;
  }

  /** Removes the tree with its last name. */
  async #removeTree(unpacked: UnpackedImage | undefined): Promise<void> {
    if (unpacked === undefined) return;
    const shared = [...this.#images.values()].some((each) => each.unpacked?.root === unpacked.root);
    if (!shared) await rm(unpacked.root, { recursive: true, force: true });
  }

  #forgetOldest(): void {
    if (this.#images.size <= imagesMax) return;
    const used = this.#inUse();
    const [oldest] = [...this.#images]
      .filter(([id]) => !used.has(id))
      .sort((a, b) => a[1].usedAt - b[1].usedAt);
    if (oldest === undefined) return;
    this.#images.delete(oldest[0]);
    // It goes in the background: the pull of another image does not wait for it.
    void this.#removeTree(oldest[1].unpacked);
  }

  #write(): void {
    writeFileAtomic(this.#path, JSON.stringify(Object.fromEntries(this.#images)));
  }
}

function imageOf(id: string, { names, sizeBytes, usedAt, unpacked }: ImageRecord): Image {
  return { id, names: [...names], sizeBytes, usedAt, user: userOf(unpacked) };
}

/** Programs of this machine run as the kubelet does. */
function userOf(unpacked: UnpackedImage | undefined): NonNullable<Image["user"]> {
  if (unpacked === undefined) return { id: process.getuid?.() ?? 0 };
  const [user = ""] = (unpacked.configuration.config?.User || "0").split(":");
  return /^\d+$/.test(user) ? { id: Number(user) } : { name: user };
}
