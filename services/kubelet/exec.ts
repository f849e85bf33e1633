/** Exec and attach: a session of the runtime behind a stream of messages. */
import type { CallContext } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { ExecOptions, ExecRequest, ExecResponse } from "../../proto/gen/core.ts";
import { kubeletLimits } from "./limits.ts";
import {
  badRequest,
  chooseContainer,
  firstOf,
  type PodSource,
  podOf,
  runningRun,
} from "./requests.ts";
import type { ExecSession, TerminalSize } from "./runtime/streams.ts";

type Sort = "exec" | "attach";

/**
 * Opens the session that the first message asks for, and carries it until its program ends or the
 * caller leaves: an exec's program then is killed, an attached one runs on.
 */
export async function* runSession(
  source: PodSource,
  sort: Sort,
  requests: AsyncIterable<ExecRequest>,
  context: Pick<CallContext, "signal" | "sendHeaders">,
): AsyncGenerator<ExecResponse> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await firstOf(messages);
  if (first.options === undefined) throw badRequest("options: missing in the first message");
  const left = new AbortController();
  const signal = AbortSignal.any([context.signal, left.signal]);
  const input = new AbortController();
  try {
    const session = await openSession(source, sort, first, signal);
    context.sendHeaders();
    // A request that cannot be carried out ends the session with its error.
    const fed = feed(session, first, messages).catch((error: unknown) => input.abort(error));
    yield* outputsOf(session, first.options, input.signal);
    const exitCode = await session.exitCode;
    void fed;
    if (sort === "exec" && exitCode !== undefined) yield { exitCode };
  } finally {
    left.abort();
  }
}

async function openSession(
  source: PodSource,
  sort: Sort,
  { options = {}, resize }: ExecRequest,
  signal: AbortSignal,
): Promise<ExecSession> {
  const { name = "", namespace = "", command = [], stdin = false, tty = false } = options;
  if (!stdin && !options.stdout && !options.stderr) {
    throw badRequest("you must specify at least 1 of stdin, stdout, stderr");
  }
  const pod = podOf(source, namespace, name);
  const container = chooseContainer(pod, options.container);
  const run = runningRun(source, pod, container);
  const wanted = { stdin, tty, size: sizeOf(resize), signal };
  if (sort === "attach") {
    if (command.length > 0) throw badRequest("options.command: an attach runs no command");
    return source.runtime.attach(run.id, wanted);
  }
  if (command.length === 0) {
    throw badRequest("you must specify at least one command for the container");
  }
  try {
    return await source.runtime.execStream(run.id, command, wanted);
  } catch (thrown) {
    const error = StatusError.from(thrown);
    const code = error.code === Code.unknown ? Code.internal : error.code;
    throw new StatusError(code, `error executing command in container: ${error.message}`);
  }
}

/** Undefined: none was said; a terminal of no size, as clients without one say, counts as none. */
function sizeOf(resize: ExecRequest["resize"]): TerminalSize | undefined {
  const { width = 0, height = 0 } = resize ?? {};
  return width > 0 && height > 0 ? { columns: width, rows: height } : undefined;
}

/** Hands the caller's input on, no faster than the program reads it. */
async function feed(
  session: ExecSession,
  first: ExecRequest,
  messages: AsyncIterator<ExecRequest>,
): Promise<void> {
  await take(session, first);
  for (;;) {
    const step = await messages.next();
    if (step.done) return session.endInput();
    if (step.value.options !== undefined) {
      throw badRequest("options: only the first message has them");
    }
    const size = sizeOf(step.value.resize);
    if (size !== undefined) await session.resize(size);
    await take(session, step.value);
  }
}

async function take(session: ExecSession, { stdin, stdinEnded }: ExecRequest): Promise<void> {
  if (stdin !== undefined && stdin.length > 0) await session.write(stdin);
  if (stdinEnded) session.endInput();
}

interface Output {
  readonly name: "stdout" | "stderr";
  readonly wanted: boolean;
  readonly pieces: AsyncIterator<Uint8Array>;
}

type Arrival = { readonly output: Output; readonly piece: Uint8Array | undefined };

/**
 * Both outputs as they come. A process that an ended program left behind may hold them open: they
 * are over when none has come for a while after the end.
 */
async function* outputsOf(
  session: ExecSession,
  options: ExecOptions,
  failed: AbortSignal,
): AsyncGenerator<ExecResponse> {
  const failure = new Promise<never>((_, reject) => {
    failed.addEventListener("abort", () => reject(failed.reason), { once: true });
  });
  failure.catch(() => undefined); // it may come when all is read
  let ended = false;
  const exit = session.exitCode.then(() => {
    ended = true;
    return undefined;
  });
  const pending = new Map<Output, Promise<Arrival>>();
  for (const name of ["stdout", "stderr"] as const) {
    const output = {
      name,
      wanted: options[name] ?? false,
      pieces: session[name][Symbol.asyncIterator](),
    };
    pending.set(output, nextOf(output));
  }
  while (pending.size > 0) {
    const racers = [...pending.values(), failure];
    const quiet = ended ? new Quiet() : undefined;
    const arrival = await Promise.race([...racers, quiet?.passed ?? exit]);
    quiet?.cancel();
    if (arrival === undefined) {
      if (quiet === undefined) continue; // the program has just ended
      return;
    }
    const { output, piece } = arrival;
    if (piece === undefined) {
      pending.delete(output);
      continue;
    }
    pending.set(output, nextOf(output));
    const { buffer, byteOffset, byteLength } = piece;
    if (output.wanted) yield { [output.name]: Buffer.from(buffer, byteOffset, byteLength) };
  }
}

/** Output that breaks off has ended. */
function nextOf(output: Output): Promise<Arrival> {
  return output.pieces.next().then(
    (step) => ({ output, piece: step.done ? undefined : step.value }),
    () => ({ output, piece: undefined }),
  );
}

/** A while in which nothing comes. */
class Quiet {
  readonly passed: Promise<undefined>;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    this.passed = new Promise((resolve) => {
      this.#timer = setTimeout(() => resolve(undefined), kubeletLimits.outputQuietMillis);
    });
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }
}
