/** One TCP connection to a port of a pod. */
import { connect, type Socket } from "node:net";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { ByteStream } from "../streams.ts";
import { bytesOf, writeTo } from "./exec.ts";

const connectMillis = 10_000;

/** Throws StatusError: invalidArgument, unavailable. */
export async function openForward(
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<ByteStream> {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new StatusError(Code.invalidArgument, `port ${port} is not within 1..65535`);
  }
  const socket = await connected(host, port);
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

function connected(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    const fail = (why: string) => {
      socket.destroy();
      reject(
        new StatusError(
          Code.unavailable,
          `failed to connect to ${host}:${port} of the pod: ${why}`,
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
