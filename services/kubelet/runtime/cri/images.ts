/** The images of a runtime: a cache of what it lists, and pulls from registries and layouts. */
import { call } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Log } from "../../../../ha/runtime/types.ts";
import type { AuthConfig, Image as CriImage } from "../../../../proto/gen/cri.ts";
import { checkReference, fullReference, withoutTagOfDigest } from "../image-reference.ts";
import type { Image, ImageService, RegistryCredentials } from "../images.ts";
import type { ImageLayouts } from "../layouts/mod.ts";
import { type CriConnection, criLimits } from "./connection.ts";
import { importImage } from "./import.ts";

/** Of pulls at a time of one image there is one; its callers share it. */
export class CriImages implements ImageService {
  readonly #connection: CriConnection;
  readonly #layouts: ImageLayouts | undefined;
  readonly #log: Log;
  readonly #inUse: () => ReadonlySet<string>;
  #images: readonly Image[] = [];
  readonly #usedAt = new Map<string, number>();
  readonly #pulls = new Map<string, Promise<Image>>();
  #listedAt = Number.NEGATIVE_INFINITY;

  /** `inUse`: the names that containers are made from. */
  constructor(
    connection: CriConnection,
    layouts: ImageLayouts | undefined,
    log: Log,
    inUse: () => ReadonlySet<string>,
  ) {
    this.#connection = connection;
    this.#layouts = layouts;
    this.#log = log;
    this.#inUse = inUse;
  }

  /** Asks the runtime for its images, unless it has been asked lately. */
  async refresh(now = false): Promise<void> {
    if (!now && performance.now() - this.#listedAt < criLimits.imagesMillis) return;
    const settings = { deadlineMillis: criLimits.askMillis };
    const { images = [] } = await call(this.#connection.images, "listImages", {}, settings);
    this.#listedAt = performance.now();
    this.#images = images.map((image) => this.#imageOf(image));
    const present = new Set(this.#images.map(({ id }) => id));
    for (const id of this.#usedAt.keys()) if (!present.has(id)) this.#usedAt.delete(id);
  }

  async directory(): Promise<string> {
    const settings = { deadlineMillis: criLimits.statusMillis };
    const { imageFilesystems = [] } = await call(
      this.#connection.images,
      "imageFsInfo",
      {},
      settings,
    );
    const mountpoint = imageFilesystems[0]?.fsId?.mountpoint;
    if (mountpoint) return mountpoint;
    throw new StatusError(Code.unavailable, "the runtime does not say where its images are");
  }

  list(): readonly Image[] {
    return this.#images;
  }

  status(reference: string): Image | undefined {
    const full = withoutTagOfDigest(fullReference(reference));
    return this.#images.find(({ id, names }) => id === reference || names.includes(full));
  }

  async pull(reference: string, credentials: readonly RegistryCredentials[] = []): Promise<Image> {
    checkReference(reference);
    const key = JSON.stringify([reference, credentials]);
    const underWay = this.#pulls.get(key);
    if (underWay !== undefined) return underWay;
    const pull = this.#pull(reference, credentials).finally(() => this.#pulls.delete(key));
    this.#pulls.set(key, pull);
    return pull;
  }

  async remove(reference: string): Promise<void> {
    const image = this.status(reference);
    if (image === undefined) return;
    const used = this.#inUse();
    if ([reference, image.id, ...image.names].some((name) => used.has(name))) {
      throw new StatusError(Code.failedPrecondition, `image "${reference}" is in use`);
    }
    const settings = { deadlineMillis: criLimits.actMillis };
    await call(this.#connection.images, "removeImage", { image: { image: image.id } }, settings);
    await this.refresh(true);
  }

  /** A container is made of it now. */
  used(image: Image): void {
    this.#usedAt.set(image.id, Date.now());
    this.#images = this.#images.map((each) =>
      each.id === image.id ? { ...each, usedAt: Date.now() } : each,
    );
  }

  async #pull(reference: string, credentials: readonly RegistryCredentials[]): Promise<Image> {
    const layout = await this.#layouts?.find(reference);
    if (layout !== undefined) {
      const full = fullReference(reference);
      const names = full.includes("@") ? layout.names : [...new Set([full, ...layout.names])];
      await importImage(this.#connection, layout, names);
      this.#log.info("an image came from a layout", { image: reference });
      return this.#present(reference, layout.config.digest);
    }
    const tries = credentials.length === 0 ? [undefined] : credentials.map(authOf);
    let failure: StatusError | undefined;
    for (const auth of tries) {
      try {
        const { imageRef = "" } = await call(
          this.#connection.images,
          "pullImage",
          {
            image: { image: fullReference(reference), userSpecifiedImage: reference },
            ...(auth && { auth }),
          },
          { deadlineMillis: criLimits.pullMillis },
        );
        return await this.#present(reference, imageRef);
      } catch (error) {
        failure = StatusError.from(error);
      }
    }
    const { code = Code.unknown, message = "" } = failure ?? {};
    // The form that clients of a kubelet know.
    throw new StatusError(
      code === Code.invalidArgument ? Code.unknown : code,
      `rpc error: code = ${nameOf(code)} desc = ${message}`,
    );
  }

  /** The image that the runtime has now; its names may follow a moment after the image itself. */
  async #present(reference: string, id: string): Promise<Image> {
    const deadline = performance.now() + criLimits.askMillis;
    for (;;) {
      const settings = { deadlineMillis: criLimits.askMillis };
      const asked = { image: { image: fullReference(reference) } };
      const { image } = await call(this.#connection.images, "imageStatus", asked, settings);
      if (image !== undefined) {
        await this.refresh(true);
        const known = this.#imageOf(image);
        this.used(known);
        return { ...known, usedAt: Date.now() };
      }
      if (performance.now() > deadline) {
        throw new StatusError(
          Code.notFound,
          `image "${reference}" (${id}) was pulled, and the runtime does not list it`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #imageOf(image: CriImage): Image {
    const { id = "", repoTags = [], repoDigests = [], size = 0n, uid, username = "" } = image;
    const user = uid !== undefined ? { id: Number(uid.value ?? 0n) } : { name: username };
    return {
      id,
      names: [...repoTags, ...repoDigests],
      sizeBytes: Number(size),
      usedAt: this.#usedAt.get(id) ?? 0,
      ...((uid !== undefined || username !== "") && { user }),
    };
  }
}

function authOf(credentials: RegistryCredentials): AuthConfig {
  const { username, password, serverAddress, identityToken, registryToken } = credentials;
  return {
    username,
    password,
    serverAddress,
    identityToken: identityToken ?? "",
    registryToken: registryToken ?? "",
  };
}

/** As Go's gRPC writes a code. */
function nameOf(code: Code): string {
  const name = Object.entries(Code).find(([, value]) => value === code)?.[0] ?? "unknown";
  return name === "ok" ? "OK" : name.replace(/^./, (first) => first.toUpperCase());
}
