/** An echo server with the handlers of a test, and clients for it; both end with the test file. */
import { after } from "node:test";
import {
  bidiStream,
  clientStream,
  connect,
  createRpcServer,
  type RpcEngine,
  type RpcServerOptions,
  serverStream,
  unary,
} from "../../ha/rpc/mod.ts";
import type { CallContext } from "../../ha/rpc/types.ts";
import { EchoClient, EchoService } from "./echo.ts";
import { type LogLine, memoryLog } from "./helpers.ts";

type Say = (request: Buffer, context: CallContext) => Promise<Buffer>;
type Repeat = (request: Buffer, context: CallContext) => AsyncIterable<Buffer>;
type Collect = (requests: AsyncIterable<Buffer>, context: CallContext) => Promise<Buffer>;
type Chat = (requests: AsyncIterable<Buffer>, context: CallContext) => AsyncIterable<Buffer>;

export interface Handlers {
  say?: Say;
  repeat?: Repeat;
  collect?: Collect;
  chat?: Chat;
}

let engine: RpcEngine | undefined;
/** Which engine the servers of the tests to come stand on: the same suites run on each. */
export function useEngine(name: RpcEngine): void {
  engine = name;
}

const closing: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

async function* nothing(): AsyncGenerator<Buffer> {}

export async function start(handlers: Handlers, options: Partial<RpcServerOptions> = {}) {
  const lines: LogLine[] = [];
  const server = createRpcServer({ log: memoryLog(lines), engine, ...options });
  server.addService(EchoService, {
    say: unary<Buffer, Buffer>(handlers.say ?? (async (request) => request)),
    repeat: serverStream<Buffer, Buffer>(handlers.repeat ?? nothing),
    collect: clientStream<Buffer, Buffer>(handlers.collect ?? (async () => Buffer.alloc(0))),
    chat: bidiStream<Buffer, Buffer>(handlers.chat ?? nothing),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  closing.push(() => server.close());
  return { server, port, lines, address: `127.0.0.1:${port}` };
}

export function dial(address: string, tls?: { ca: string; cert?: string; key?: string }) {
  const client = connect(EchoClient, { addresses: [address], tls });
  closing.push(() => client.close());
  return client;
}

export const hello = Buffer.from("hello");
