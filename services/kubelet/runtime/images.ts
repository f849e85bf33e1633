/** The images of a node, shaped like CRI's `ImageService`. */

export interface Image {
  /** Names the content: two references with one id are the same image. */
  readonly id: string;
  /** The references it was pulled by. */
  readonly names: readonly string[];
  readonly sizeBytes: number;
  /** Unix milliseconds of the last pull or container made from it. */
  readonly usedAt: number;
}

export interface ImageService {
  /** CRI `ListImages`, from the cache: costs no call. */
  list(): readonly Image[];
  /** CRI `ImageStatus`. Undefined: the image is not on this node. */
  status(reference: string): Image | undefined;
  /** CRI `PullImage`. Throws StatusError: invalidArgument for a name that is none, notFound. */
  pull(reference: string): Promise<Image>;
  /** CRI `RemoveImage`. Succeeds when it is not there; refused while a container uses it. */
  remove(reference: string): Promise<void>;
}
