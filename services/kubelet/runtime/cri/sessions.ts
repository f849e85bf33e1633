/** Exec, attach and port-forward over the streams that a runtime serves at a URL. */
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { ByteStream, ExecSession, StreamOptions, TerminalSize } from "../streams.ts";
import { SpdyClient, type SpdyClientStream } from "./spdy-client.ts";

const sessionProtocol = "v4.channel.k8s.io";
const forwardProtocol = "portforward.k8s.io";
/** Of the outcome, and of why a connection to a port failed. */
const textBytesMax = 16 * 1024;

/**
 * One program's streams. A caller that leaves first ends the connection and not the program, for
 * CRI has no way to say so: the exit code then is undefined.
 */
export async function openSession(url: string, options: StreamOptions): Promise<ExecSession> {
  const { stdin, tty, signal } = options;
  const client = await SpdyClient.open(url, sessionProtocol, signal);
  try {
    const stream = (streamtype: string) => client.stream({ streamtype });
    const outcome = await stream("error");
    const input = stdin ? await stream("stdin") : undefined;
    const stdout = await stream("stdout");
    const stderr = tty ? undefined : await stream("stderr");
    const sizes = tty ? await stream("resize") : undefined;
    const resize = async (size: TerminalSize) => {
      const text = JSON.stringify({ Width: size.columns, Height: size.rows });
      await sizes?.write(Buffer.from(`${text}\n`));
    };
    if (options.size !== undefined) await resize(options.size);
    // A server tells the outcome behind all output.
    const exitCode = exitOf(outcome, signal).finally(() => client.finish());
    exitCode.catch(() => undefined); // told to those who wait for it
    return {
      stdout: untilLeft(stdout, signal),
      stderr: stderr === undefined ? nothing() : untilLeft(stderr, signal),
      write: async (data) => input?.write(data),
      endInput: () => input?.end(),
      resize,
      exitCode,
    };
  } catch (error) {
    client.close();
    throw error;
  }
}

/** What a session's streams bring; a caller that has left reads their end. */
async function* untilLeft(
  stream: SpdyClientStream,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    yield* stream.incoming();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

interface Outcome {
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly causes?: readonly { readonly reason?: string; readonly message?: string }[];
  };
}

async function exitOf(outcome: SpdyClientStream, signal: AbortSignal): Promise<number | undefined> {
  let text: string;
  try {
    text = await outcome.text(textBytesMax);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
  if (text === "") return signal.aborted ? undefined : 0;
  const told = parsed(text);
  if (told.status === "Success") return 0;
  const code = told.details?.causes?.find(({ reason }) => reason === "ExitCode")?.message;
  if (code !== undefined && /^\d+$/.test(code)) return Number(code);
  throw new StatusError(Code.internal, told.message ?? text);
}

function parsed(text: string): Outcome {
  try {
    return JSON.parse(text) as Outcome;
  } catch {
    return { message: text };
  }
}

/** One connection to a port; that it cannot be made is told by the reading of `incoming`. */
export async function openForward(
  url: string,
  port: number,
  signal: AbortSignal,
): Promise<ByteStream> {
  const client = await SpdyClient.open(url, forwardProtocol, signal);
  try {
    const about = { port: String(port), requestid: "0" };
    const problem = await client.stream({ streamtype: "error", ...about });
    problem.end();
    const data = await client.stream({ streamtype: "data", ...about });
    const failure = problem.text(textBytesMax);
    failure.catch(() => undefined); // then the data breaks off, too
    return {
      incoming: incoming(data, failure),
      write: (bytes) => data.write(bytes),
      end: () => data.end(),
      close: () => client.close(),
    };
  } catch (error) {
    client.close();
    throw error;
  }
}

async function* incoming(
  data: SpdyClientStream,
  failure: Promise<string>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* data.incoming();
  } catch (error) {
    const why = await failure.catch(() => "");
    throw why === "" ? error : new StatusError(Code.unavailable, why);
  }
  const why = await failure.catch(() => "");
  if (why !== "") throw new StatusError(Code.unavailable, why);
}
