/**
 * Follows the manifests of a path: of one file, or of the files in a directory that do not begin
 * with a dot (upstream `--pod-manifest-path`; folders in it are not looked into).
 *
 * A change is seen at once where the file system tells of it, and within the check interval in any
 * case. While a file cannot be understood, the pod that it described before goes on: half a file,
 * as an editor leaves it for a moment, ends nothing.
 */
import { type FSWatcher, watch } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Cancel, Clock, Log } from "../../../ha/runtime/types.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { rfc3339Micro } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";
import { configAnnotations } from "./annotations.ts";

interface ManifestWatchOptions {
  readonly path: string;
  readonly nodeName: string;
  readonly checkMillis: number;
  readonly clock: Pick<Clock, "after" | "wallMillis">;
  readonly log: Log;
  /** Every static pod of the path. */
  readonly changed: (pods: readonly Pod[]) => void;
  /** A file is no manifest; told once for each content of it. */
  readonly refused: (file: string, problem: string) => void;
}

interface Known {
  readonly text: string;
  readonly pod: Pod | undefined;
}

export class ManifestWatch {
  readonly #options: ManifestWatchOptions;
  readonly #files = new Map<string, Known>();
  /** The last problem of each file that was told. */
  readonly #said = new Map<string, string>();
  #watcher: FSWatcher | undefined;
  #watched = "";
  #timer: Cancel | undefined;
  #reading: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(options: ManifestWatchOptions) {
    this.#options = options;
  }

  /** Resolves when what is there now has been told. */
  async start(): Promise<void> {
    await this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#timer?.();
  }

  /** One look at a time; a change during it leads to one more. Never throws. */
  #look(): Promise<void> {
    this.#again = true;
    this.#reading ??= this.#lookWhileAsked().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #lookWhileAsked(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        await this.#read();
        this.#said.delete("path");
      } catch (error) {
        this.#sayOnce("path", "the static pods could not be read", error);
      }
    }
    this.#later(this.#options.checkMillis);
  }

  #later(millis: number): void {
    this.#timer?.();
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(millis, () => void this.#look());
  }

  async #read(): Promise<void> {
    const { path } = this.#options;
    const kind = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined; // not there: there are no static pods
      throw error;
    });
    const isDirectory = kind?.isDirectory() ?? false;
    this.#follow(isDirectory ? path : dirname(path));
    const files = isDirectory ? await this.#filesOf(path) : kind === undefined ? [] : [path];
    const listed = new Set(files);
    for (const file of [...this.#files.keys(), ...this.#said.keys()]) {
      if (listed.has(file) || file === this.#options.path) continue;
      this.#files.delete(file);
      this.#said.delete(file);
    }
    if (kind === undefined || isDirectory) this.#files.delete(path);
    for (const file of files) await this.#readFile(file);
    const pods = [...this.#files.values()].flatMap(({ pod }) => pod ?? []);
    this.#options.changed(this.#distinct(pods));
  }

  async #filesOf(directory: string): Promise<readonly string[]> {
    const entries = await readdir(directory);
    const names = entries.filter((name) => !name.startsWith(".")).sort();
    const max = kubeletLimits.manifestFilesMax;
    if (names.length > max) {
      this.#sayOnce(
        "many",
        `only the first ${max} manifests count`,
        new Error(`${names.length} files`),
      );
    }
    return names.slice(0, max).map((name) => join(directory, name));
  }

  async #readFile(file: string): Promise<void> {
    const { nodeName, clock, log, refused } = this.#options;
    const before = this.#files.get(file);
    try {
      const found = await stat(file);
      if (found.isDirectory()) return;
      if (!found.isFile()) throw new Error("it is no regular file");
      if (found.size > kubeletLimits.manifestBytesMax) {
        throw new Error(`it has ${found.size} bytes, of at most ${kubeletLimits.manifestBytesMax}`);
      }
      const text = await readFile(file, "utf8");
      if (before?.text === text) return;
      this.#files.set(file, { text, pod: before?.pod });
      // It loads the kinds, which a node without static pods has no use for.
      const { podOfManifest } = await import("./manifest.ts");
      const { pod, unknown } = podOfManifest(text, file, nodeName);
      for (const problem of unknown)
        log.warn("a manifest has a field of no pod", { file, problem });
      const seen = rfc3339Micro(clock.wallMillis());
      pod.metadata = {
        ...pod.metadata,
        annotations: { ...pod.metadata?.annotations, [configAnnotations.seen]: seen },
      };
      // The same pod in other words is not seen anew.
      const same = before?.pod?.metadata?.uid === pod.metadata.uid;
      this.#files.set(file, { text, pod: same ? before?.pod : pod });
      this.#said.delete(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        this.#files.delete(file); // gone since the directory was listed
        return;
      }
      const { message } = error as Error;
      if (this.#sayOnce(file, "a file is no manifest of a static pod", error))
        refused(file, message);
    }
  }

  /** Of pods with one name, the first file's runs. */
  #distinct(pods: readonly Pod[]): readonly Pod[] {
    const taken = new Set<string>();
    return pods.filter(({ metadata }) => {
      const name = `${metadata?.namespace}/${metadata?.name}`;
      if (taken.has(name)) {
        this.#sayOnce(
          `name ${name}`,
          "two manifests name one pod; one is ignored",
          new Error(name),
        );
        return false;
      }
      taken.add(name);
      return true;
    });
  }

  /** True: it has not been said since it was last in order. */
  #sayOnce(about: string, text: string, error: unknown): boolean {
    const { message } = error as Error;
    if (this.#said.get(about) === message) return false;
    this.#said.set(about, message);
    this.#options.log.error(text, { about, error: message });
    return true;
  }

  #follow(directory: string): void {
    if (this.#watched === directory && this.#watcher !== undefined) return;
    this.#watcher?.close();
    this.#watched = directory;
    const again = () => this.#later(kubeletLimits.manifestSettleMillis);
    try {
      this.#watcher = watch(directory, { persistent: false }, again);
      this.#watcher.on("error", () => {
        this.#watcher = undefined; // the next look tries anew
      });
    } catch {
      this.#watcher = undefined; // not there, or no more watches: the regular look goes on
    }
  }
}
