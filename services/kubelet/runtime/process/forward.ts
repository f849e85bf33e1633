/** One TCP connection to a port of a pod. */
import { connect, type Socket } from "node:net";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { authorityOf } from "../../pod/authority.ts";
import type { ByteStream } from "../streams.ts";
import { bytesOf, writeTo } from "./exec.ts";

const connectMillis = 10_000;

/**
 * `hosts`: addresses of the pod; the first one that takes the connection has it. Throws StatusError:
 * invalidArgument, unavailable.
 */
export async function openForward(
  hosts: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<ByteStream> {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new StatusError(Code.invalidArgument, `port ${port} is not within 1..65535`);
  }
  const socket = await connectedToOneOf(hosts, port);
  const close = () => {
    signal.removeEventListener("abort", close);
    socket.destroy();
  };
  signal.addEventListener("abort", close, { once: true });
  if (signal.aborted) close();
  socket.once("close", close);
  return {
    incoming: incoming(socket),
    write: (data) => writeTo(socket, data),
    end: () => void socket.end(),
    close,
  };
}

/** Throws what the first one has said. */
async function connectedToOneOf(hosts: readonly string[], port: number): Promise<Socket> {
  let problem: unknown;
  for (const host of hosts) {
    try {
      return await connected(host, port);
    } catch (error) {
      problem ??= error;
    }
  }
  throw problem;
}

function connected(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    const fail = (why: string) => {
      socket.destroy();
      reject(
        new StatusError(
          Code.unavailable,
          `failed to connect to ${authorityOf(host, port)} of the pod: ${why}`,
        ),
      );
    };
    const timer = setTimeout(() => fail("no answer in time"), connectMillis);
    socket.once("error", (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      socket.on("error", () => undefined); // told by the end of `incoming`
      resolve(socket);
    });
  });
}

async function* incoming(socket: Socket): AsyncGenerator<Uint8Array> {
  try {
    yield* bytesOf(socket);
  } catch (error) {
    throw new StatusError(Code.unavailable, `the connection broke: ${(error as Error).message}`);
  }
}
