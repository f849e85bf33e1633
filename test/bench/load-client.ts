/**
 * CPU of the load client a unary call: an echo of 300 bytes, over TLS and without, on 4 connections
 * with 16 calls each and on 8 with 64. The server is another process and does not count.
 *
 * Arguments: calls of a measurement (60,000), measurements of which the median is told (3).
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRpcServer, type ServerTls, unary } from "../../ha/rpc/mod.ts";
import { refuse } from "../../ha/runtime/production/tool.ts";
import { createAuthority } from "../../services/apiserver/pki/mod.ts";
import { Call, LoadClient, type LoadTls, RequestTemplate } from "../../services/load/client/mod.ts";
import { EchoService } from "../rpc/echo.ts";
import { memoryLog } from "../rpc/helpers.ts";

const loads = [
  { connections: 4, streams: 16 },
  { connections: 8, streams: 64 },
] as const;
const goalMicros = 12;

/** CPU µs a call of this process, and calls a second. */
async function measure(
  port: number,
  tls: LoadTls | undefined,
  load: (typeof loads)[number],
  calls: number,
) {
  const address = `127.0.0.1:${port}`;
  const { connections, streams } = load;
  const client = new LoadClient({ addresses: [address], protocol: "grpc", tls, connections });
  await client.connected(10_000);
  const to = { scheme: tls === undefined ? "http" : "https", authority: address };
  const template = RequestTemplate.grpc({ ...to, path: "/test.Echo/Say" }, Buffer.alloc(300, 0x61));
  const before = process.cpuUsage();
  const began = performance.now();
  let left = calls;
  let open = 0;
  await new Promise<void>((resolve, reject) => {
    const next = (call: Call) => {
      if (call.code !== "" && call.code !== "OK") reject(new Error(`${call.code} ${call.message}`));
      if (left-- > 0) client.send(template, call);
      else if (--open === 0) resolve();
    };
    for (let n = 0; n < connections * streams; n++) {
      open++;
      next(new Call(next));
    }
  });
  const { user, system } = process.cpuUsage(before);
  const perSecond = (calls * 1_000) / (performance.now() - began);
  client.close();
  return { micros: (user + system) / calls, perSecond };
}

export async function run(args: readonly string[]): Promise<void> {
  const wrong = args.find((arg) => !/^[1-9]\d*$/.test(arg));
  if (wrong !== undefined) refuse("bench", `load-client: "${wrong}" is not a whole number above 0`);
  const [calls = 60_000, rounds = 3] = args.map(Number);
  const folder = mkdtempSync(join(tmpdir(), "trireme-bench-"));
  try {
    const authority = await createAuthority(folder);
    const pair = await authority.issue({
      commonName: "echo",
      hosts: ["127.0.0.1", "localhost"],
      use: "server",
    });
    for (const secure of [false, true]) {
      const server = await startServer(secure ? { ...pair, clientCa: authority.cert } : undefined);
      const tls = secure
        ? { ca: authority.cert, ...(await authority.issue({ commonName: "load", use: "client" })) }
        : undefined;
      await measure(server.port, tls, loads[0], calls);
      for (const load of loads) {
        const results = [];
        for (let round = 0; round < rounds; round++) {
          results.push(await measure(server.port, tls, load, calls));
        }
        results.sort((a, b) => a.micros - b.micros);
        const { micros, perSecond } = results[Math.floor(rounds / 2)] ?? {
          micros: 0,
          perSecond: 0,
        };
        const { connections, streams } = load;
        const within = micros <= goalMicros ? "within" : "OVER";
        console.log(
          `${secure ? "TLS  " : "plain"} ${connections}×${streams}`.padEnd(14) +
            `${micros.toFixed(1)} µs CPU a call, ${within} ${goalMicros} µs, ` +
            `${Math.round(perSecond)} calls/s`,
        );
      }
      server.child.disconnect();
      await once(server.child, "exit");
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startServer(tls: ServerTls | undefined) {
  const child: ChildProcess = fork(import.meta.filename, ["serve"]);
  child.send({ tls });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return { child, port };
}

/** The child process: an echo server that ends with its parent. */
async function serve(): Promise<void> {
  const [{ tls }] = (await once(process, "message")) as [{ tls?: ServerTls }];
  const unused = () => {};
  const server = createRpcServer({ log: memoryLog(), engine: "trireme", ...(tls && { tls }) });
  server.addService(EchoService, {
    say: unary(async (request: Buffer) => request),
    ...{ collect: unused, repeat: unused, chat: unused },
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  process.send?.({ port });
  process.on("disconnect", () => process.exit());
}

if (import.meta.main) {
  if (process.argv[2] === "serve") await serve();
  else await run(process.argv.slice(2));
}
