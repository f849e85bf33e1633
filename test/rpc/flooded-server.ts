/**
 * An echo server in a process of its own, that tells its memory when asked: what hostile clients
 * make it hold can be told from what they hold themselves. Run with `--expose-gc`.
 */
import {
  bidiStream,
  clientStream,
  createRpcServer,
  serverStream,
  unary,
} from "../../ha/rpc/mod.ts";
import { EchoService } from "./echo.ts";
import { memoryLog } from "./helpers.ts";

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(64 * 1024);
}

async function collect(requests: AsyncIterable<Buffer>): Promise<Buffer> {
  let bytes = 0;
  for await (const request of requests) bytes += request.length;
  return Buffer.from(String(bytes));
}

const server = createRpcServer({ log: memoryLog() });
server.addService(EchoService, {
  say: unary((request: Buffer, { signal }) => {
    if (request[0] !== 0) return Promise.resolve(request);
    // A request that begins with a zero is never answered.
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  }),
  repeat: serverStream(endless),
  collect: clientStream(collect),
  chat: bidiStream(endless),
});
const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
process.send?.({ port });
process.on("message", () => {
  global.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.({ bytes: heapUsed + external });
});
process.on("disconnect", () => process.exit());
