/** Clients of a running container's own input and output. */
import { constants, openSync } from "node:fs";
import { open } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import type { ExecSession, StreamOptions } from "../streams.ts";
import { writeTo } from "./exec.ts";
import { readLog, sizeOf } from "./logs.ts";
import { setTerminalSize } from "./terminal.ts";

export interface Attachable {
  /** Holds `log`, and the FIFOs `stdin` and `stdin-end` where the container has an input. */
  readonly dir: string;
  readonly hasInput: boolean;
  readonly inputOnce: boolean;
  /** A client has attached before. */
  readonly hadClient: boolean;
  readonly terminal: boolean;
  readonly pid: number;
  /** Resolves to the exit code. */
  readonly exited: Promise<number>;
  isExited(): boolean;
}

/** More output than this is not repeated for its first client. */
const missedBytesMax = 1024 * 1024;

/**
 * The output is read from the log, in which stdout and stderr are one. The program does not wait
 * for attached clients: the client for whom it runs, the first one of an input that ends with it,
 * gets what was written before it came, too. Otherwise a short program's output would be lost.
 */
export async function openAttach(
  container: Attachable,
  options: StreamOptions,
): Promise<ExecSession> {
  const path = join(container.dir, "log");
  const size = await sizeOf(path);
  const ownsProgram = options.stdin && container.inputOnce && !container.hadClient;
  const from = ownsProgram && size <= missedBytesMax ? 0 : size;
  const input = options.stdin && container.hasInput ? openInput(container.dir) : undefined;
  const left = new Promise<undefined>((resolve) => {
    if (options.signal.aborted) resolve(undefined);
    options.signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const exitCode = Promise.race([container.exited, left]);
  let ended = false;
  const endInput = () => {
    if (ended) return;
    ended = true;
    input?.end();
  };
  void exitCode.then(() => {
    endInput();
    if (input !== undefined && container.inputOnce && !container.isExited()) {
      return endOfInput(container.dir);
    }
    return undefined;
  });
  const log = { follow: true, signal: options.signal };
  return {
    stdout: readLog(path, log, () => container.isExited(), from),
    stderr: nothing(),
    write: (data) => writeTo(input ?? null, data),
    endInput: () => {
      if (ended) return;
      endInput();
      // Without stdinOnce the input waits for the next client.
      if (input !== undefined && container.inputOnce) {
        input.once("close", () => void endOfInput(container.dir));
      }
    },
    resize: async (size) => {
      if (container.terminal) await setTerminalSize(container.pid, size);
    },
    exitCode,
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** A FIFO as a socket: a full one holds the writer back and no thread. */
function openInput(dir: string): Socket {
  const { O_WRONLY, O_NONBLOCK } = constants;
  const fd = openSync(join(dir, "stdin"), O_WRONLY | O_NONBLOCK);
  const socket = new Socket({ fd, readable: false, writable: true });
  socket.on("error", () => undefined); // the program closed its input; its exit is what counts
  return socket;
}

/** Tells the keeper of the FIFO to let go, so that the program reads the end of its input. */
async function endOfInput(dir: string): Promise<void> {
  const { O_WRONLY, O_NONBLOCK } = constants;
  const file = await open(join(dir, "stdin-end"), O_WRONLY | O_NONBLOCK).catch((error) => {
    if (error.code === "ENXIO" || error.code === "ENOENT") return undefined; // it has ended before
    throw error;
  });
  await file?.close();
}
