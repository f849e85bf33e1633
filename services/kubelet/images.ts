/** Removes images that no container uses: when the disk is needed, or has filled up with them. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Room } from "./eviction/thresholds.ts";
import type { Image, ImageService } from "./runtime/images.ts";

/** Upstream's `imageGCHighThresholdPercent` and the like. */
export interface ImageGcSettings {
  /** Of the disk in use; from here on images are removed. 100: never. */
  readonly highPercent: number;
  /** Until no more than this is in use. */
  readonly lowPercent: number;
  /** An image that has not been here for so long stays. */
  readonly minimumAgeMillis: number;
}

export const imageGcDefaults: ImageGcSettings = {
  highPercent: 85,
  lowPercent: 80,
  minimumAgeMillis: 120_000,
};

interface ImageGcOptions {
  readonly settings: ImageGcSettings;
  readonly images: Pick<ImageService, "list" | "remove">;
  /** Of the file system that the images are on. */
  readonly room: () => Promise<Room>;
  /** References that pods mount as volumes: in use, though no container is made of them. */
  readonly mounted: () => ReadonlySet<string>;
  readonly now: () => number;
  readonly tell: (reason: string, message: string) => void;
  readonly log: Log;
}

export class ImageGc {
  readonly #options: ImageGcOptions;
  /** When each image was seen first, by its id. */
  readonly #seenAt = new Map<string, number>();

  constructor(options: ImageGcOptions) {
    this.#options = options;
  }

  /** One look at the disk. Never throws. */
  async collect(): Promise<void> {
    const { settings, room, log, tell, now, images } = this.#options;
    const present = images.list();
    for (const { id } of present) if (!this.#seenAt.has(id)) this.#seenAt.set(id, now());
    const ids = new Set(present.map(({ id }) => id));
    for (const id of this.#seenAt.keys()) if (!ids.has(id)) this.#seenAt.delete(id);
    try {
      const { free, total } = await room();
      if (total === 0) return tell("InvalidDiskCapacity", "invalid capacity 0 on image filesystem");
      const usedPercent = 100 - Math.floor((free * 100) / total);
      if (settings.highPercent >= 100 || usedPercent < settings.highPercent) return;
      const wanted = Math.floor((total * (100 - settings.lowPercent)) / 100) - free;
      const freed = await this.#remove(wanted, settings.minimumAgeMillis);
      if (freed >= wanted) return;
      const text =
        "Failed to garbage collect required amount of images. " +
        `Attempted to free ${wanted} bytes, but only found ${freed} bytes eligible to free.`;
      tell("FreeDiskSpaceFailed", text);
    } catch (error) {
      log.warn("the disk of the images could not be looked after", { error });
    }
  }

  /** Everything that nothing uses, for a disk that is about to be full. */
  async removeAll(): Promise<void> {
    await this.#remove(Number.POSITIVE_INFINITY, 0);
  }

  /** The least recently used first, until so much is free. Resolves to the bytes that went. */
  async #remove(bytes: number, minimumAgeMillis: number): Promise<number> {
    const { images, mounted, now } = this.#options;
    const kept = mounted();
    const old = ({ id, names }: Image) =>
      now() - (this.#seenAt.get(id) ?? 0) >= minimumAgeMillis &&
      !names.some((name) => kept.has(name));
    let freed = 0;
    for (const image of images.list().toSorted((a, b) => a.usedAt - b.usedAt)) {
      if (freed >= bytes) break;
      if (old(image) && (await this.#removeOne(image))) freed += image.sizeBytes;
    }
    return freed;
  }

  /** False: a container uses it, or it could not be removed, which is told. */
  async #removeOne({ id, names }: Image): Promise<boolean> {
    const { images, log } = this.#options;
    const [reference = id] = names;
    try {
      await images.remove(reference);
      log.info("an image that no container uses is removed", { image: reference });
      return true;
    } catch (thrown) {
      const { code, message } = StatusError.from(thrown);
      if (code === Code.failedPrecondition) return false;
      log.warn("an image could not be removed", { image: reference, error: message });
      return false;
    }
  }
}

/** `values`: of the flags. Throws StatusError naming the flag. */
export function imageGcOf(
  values: {
    readonly "image-gc-high-threshold": number;
    readonly "image-gc-low-threshold": number;
  },
  minimumAgeMillis: number,
): ImageGcSettings {
  const [high, low] = ["image-gc-high-threshold", "image-gc-low-threshold"] as const;
  const refuse = (flag: string, problem: string) =>
    new StatusError(Code.invalidArgument, `--${flag}: ${problem}`);
  for (const flag of [high, low]) {
    const percent = values[flag];
    if (Number.isInteger(percent) && percent >= 0 && percent <= 100) continue;
    throw refuse(flag, `${percent} is no whole number within 0..100`);
  }
  if (values[low] >= values[high]) {
    throw refuse(low, `${values[low]} must be less than --${high}, which is ${values[high]}`);
  }
  return { highPercent: values[high], lowPercent: values[low], minimumAgeMillis };
}
