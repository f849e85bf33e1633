/** The images of a node, shaped like CRI's `ImageService`. */

export interface Image {
  /** Names the content: two references with one id are the same image. */
  readonly id: string;
  /** The references it was pulled by. */
  readonly names: readonly string[];
  readonly sizeBytes: number;
  /** Unix milliseconds of the last pull or container made from it. */
  readonly usedAt: number;
  /** Whom its programs run as where the pod does not say: a number, or a name of its own. */
  readonly user?: { readonly id?: number | undefined; readonly name?: string | undefined };
}

/** CRI `AuthConfig`: what a registry is shown. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
  readonly serverAddress: string;
  readonly identityToken?: string | undefined;
  readonly registryToken?: string | undefined;
}

export interface ImageService {
  /** CRI `ImageFsInfo`: a directory of the file system that images are on. Throws StatusError. */
  directory?(): Promise<string>;
  /** CRI `ListImages`, from the cache: costs no call. */
  list(): readonly Image[];
  /** CRI `ImageStatus`. Undefined: the image is not on this node. */
  status(reference: string): Image | undefined;
  /**
   * CRI `PullImage`, with each of the credentials in turn until one is taken; without any: as
   * anyone. Throws StatusError: invalidArgument for a name that is none, notFound, and what the
   * runtime says of its registry.
   */
  pull(reference: string, credentials?: readonly RegistryCredentials[]): Promise<Image>;
  /** CRI `RemoveImage`. Succeeds when it is not there; refused while a container uses it. */
  remove(reference: string): Promise<void>;
}
