/**
 * The last words of containers: `terminationMessagePath` and `terminationMessagePolicy`.
 *
 * Each run has a file of its own in the pod's directory,
 * `<pods>/<uid>/containers/<container>/<attempt>`, mounted at terminationMessagePath. Where a
 * runtime has no private mounts, the variable TERMINATION_MESSAGE_PATH names the file instead.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, normalize } from "node:path";
import type { Container, Pod } from "../../../proto/gen/core.ts";
import { kubeletLimits } from "../limits.ts";
import type { ContainerRuntime, Mount, Container as RuntimeContainer } from "../runtime/types.ts";

const pathDefault = "/dev/termination-log";
const variable = "TERMINATION_MESSAGE_PATH";

export class TerminationMessages {
  readonly #dir: string;
  readonly #runtime: ContainerRuntime;
  /** By container id; an empty text where the container left none. */
  readonly #messages = new Map<string, string>();

  /** `podDir`: the pod's own directory. */
  constructor(podDir: string, runtime: ContainerRuntime) {
    this.#dir = join(podDir, "containers");
    this.#runtime = runtime;
  }

  /** Makes the file of one run. Returns how the container reaches it. */
  prepare(
    container: Container,
    attempt: number,
  ): { readonly mounts: readonly Mount[]; readonly env: Readonly<Record<string, string>> } {
    const hostPath = this.#path(container.name ?? "", attempt);
    mkdirSync(dirname(hostPath), { recursive: true });
    rmSync(hostPath, { force: true });
    writeFileSync(hostPath, "", { flag: "wx" });
    chmodSync(hostPath, 0o666); // whatever user the container runs as, and whatever the umask
    if (!this.#runtime.features().privateMounts)
      return { mounts: [], env: { [variable]: hostPath } };
    const containerPath = normalize(container.terminationMessagePath || pathDefault);
    const mount = { hostPath, containerPath, readOnly: false };
    return { mounts: [mount], env: { [variable]: containerPath } };
  }

  /** Reads what containers that have ended left; once for each. */
  async collect(pod: Pod, runs: readonly RuntimeContainer[]): Promise<void> {
    const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
    const all = [...initContainers, ...containers, ...ephemeralContainers];
    const known = new Set(runs.map(({ id }) => id));
    for (const id of [...this.#messages.keys()]) if (!known.has(id)) this.#messages.delete(id);
    for (const run of runs) {
      if (run.state !== "exited" || this.#messages.has(run.id)) continue;
      const container = all.find(({ name }) => name === run.name);
      const text = readTail(this.#path(run.name, run.attempt));
      const fallback =
        text === "" &&
        run.exitCode !== 0 &&
        container?.terminationMessagePolicy === "FallbackToLogsOnError";
      this.#messages.set(run.id, fallback ? await this.#lastOutput(run.id) : text);
    }
  }

  /** What the run left, after the runtime's own message if it has one. */
  of(run: RuntimeContainer): string | undefined {
    const text = [run.message ?? "", this.#messages.get(run.id) ?? ""]
      .filter((part) => part !== "")
      .join(": ");
    return text === "" ? undefined : text;
  }

  /** The run is forgotten. */
  remove(run: RuntimeContainer): void {
    this.#messages.delete(run.id);
    rmSync(this.#path(run.name, run.attempt), { force: true });
  }

  #path(name: string, attempt: number): string {
    return join(this.#dir, name, String(attempt));
  }

  async #lastOutput(id: string): Promise<string> {
    const pieces: Uint8Array[] = [];
    const { terminationLogBytes, terminationLogLines } = kubeletLimits;
    const { signal } = new AbortController();
    const options = { follow: false, tailLines: terminationLogLines, signal };
    try {
      for await (const piece of this.#runtime.logs(id, options)) pieces.push(piece);
    } catch (error) {
      return `the container's output could not be read: ${(error as Error).message}`;
    }
    const bytes = Buffer.concat(pieces);
    return bytes.subarray(Math.max(0, bytes.length - terminationLogBytes)).toString("utf8");
  }
}

/** The end of a regular file; a link or a pipe that a container put in its place is not read. */
function readTail(path: string): string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file: number;
  try {
    file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? "" : `Error on reading termination log: ${message}`;
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return "Error on reading termination log: it is no regular file";
    const length = Math.min(stat.size, kubeletLimits.terminationMessageBytes);
    const buffer = Buffer.alloc(length);
    const read = readSync(file, buffer, 0, length, stat.size - length);
    return buffer.subarray(0, read).toString("utf8");
  } finally {
    closeSync(file);
  }
}
