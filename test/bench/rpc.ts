/**
 * The gRPC server's two engines side by side: unary echo of 300 bytes, driven by h2load where it is
 * installed (Debian: nghttp2-client), else by our own client connections.
 */
import { type ChildProcess, execFile, fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { attachSocket, Connection, encodeHeaders } from "../../ha/http2/mod.ts";
import { createRpcServer, type RpcEngine, unary } from "../../ha/rpc/mod.ts";
import { refuse } from "../../ha/runtime/production/tool.ts";
import { EchoService } from "../rpc/echo.ts";
import { memoryLog } from "../rpc/helpers.ts";

const path = "/test.Echo/Say";
const body = Buffer.alloc(305, 0x61);
body.writeUInt8(0, 0);
body.writeUInt32BE(300, 1);

const loads = [
  { connections: 4, streams: 16 },
  { connections: 8, streams: 64 },
] as const;
type Load = (typeof loads)[number];
type Style = "bare" | "async";

interface Measured {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

/** Requests a second and CPU µs of the server per request. */
type Driver = (port: number, load: Load, requests: number) => Promise<number>;

async function h2load(port: number, load: Load, requests: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "trireme-bench-"));
  const file = join(folder, "body");
  writeFileSync(file, body);
  try {
    const { stdout } = await promisify(execFile)("h2load", [
      ...["-n", String(requests), "-c", String(load.connections), "-m", String(load.streams)],
      ...["-d", file, "-H", "content-type: application/grpc", "-H", "te: trailers"],
      `http://127.0.0.1:${port}${path}`,
    ]);
    const done = /(\d+) succeeded, (\d+) failed/.exec(stdout);
    if (Number(done?.[1]) !== requests) throw new Error(`h2load: ${done?.[0] ?? stdout}`);
    return Number(/([\d.]+) req\/s/.exec(stdout)?.[1]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same with our own client, for machines without h2load. */
async function ownClient(port: number, load: Load, requests: number): Promise<number> {
  const head = encodeHeaders([
    ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "127.0.0.1"],
    ...["content-type", "application/grpc", "te", "trailers"],
  ]);
  const began = performance.now();
  let left = requests;
  const finished = Array.from({ length: load.connections }, async () => {
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      let open = 0;
      const next = () => {
        if (left-- <= 0) return open === 0 ? resolve() : undefined;
        const stream = connection.request(head, false);
        if (stream === undefined) throw new Error("no capacity");
        open++;
        connection.data(stream, body, true);
      };
      const connection: Connection = new Connection("client", {
        onHeaders: () => {},
        onData: (stream, _, start, end) => connection.consume(stream, end - start),
        onTrailers: () => {
          open--;
          next();
        },
        onReset: (stream, code) => reject(new Error(`stream ${stream.id} was reset: ${code}`)),
        onWritable: () => {},
        onGoaway: () => {},
        onClose: () => {},
      });
      attachSocket(connection, socket);
      for (let stream = 0; stream < load.streams; stream++) next();
    });
    socket.destroy();
  });
  await Promise.all(finished);
  return (requests * 1_000) / (performance.now() - began);
}

class ServerProcess {
  readonly #child: ChildProcess;
  readonly port: number;

  constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(engine: RpcEngine, style: Style): Promise<ServerProcess> {
    const child = fork(import.meta.filename, ["serve", engine, style]);
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    return new ServerProcess(child, port);
  }

  async cpuMicros(): Promise<number> {
    this.#child.send("cpu");
    const [{ cpuMicros }] = (await once(this.#child, "message")) as [{ cpuMicros: number }];
    return cpuMicros;
  }

  async measure(drive: Driver, load: Load, requests: number): Promise<Measured> {
    const before = await this.cpuMicros();
    const perSecond = await drive(this.port, load, requests);
    return { perSecond, cpuMicros: ((await this.cpuMicros()) - before) / requests };
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, "exit");
    this.#child.disconnect();
    await gone;
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** Arguments: requests of a measurement, measurements of which the median is told. */
export async function run(args: readonly string[]): Promise<void> {
  const wrong = args.find((arg) => !/^[1-9]\d*$/.test(arg));
  if (wrong !== undefined) refuse("bench", `rpc: "${wrong}" is not a whole number above 0`);
  const [requests = 60_000, rounds = 3] = args.map(Number);
  const installed = spawnSync("h2load", ["--version"]).status === 0;
  const drive = installed ? h2load : ownClient;
  console.log(`unary echo, 300 B, driven by ${installed ? "h2load" : "our own client"}`);
  for (const style of ["bare", "async"] as const) {
    const servers = {
      "grpc-js": await ServerProcess.start("grpc-js", style),
      trireme: await ServerProcess.start("trireme", style),
    };
    for (const server of Object.values(servers)) {
      await server.measure(drive, loads[0], requests / 2);
    }
    for (const load of loads) {
      const measured = { "grpc-js": [] as Measured[], trireme: [] as Measured[] };
      for (let round = 0; round < rounds; round++) {
        for (const engine of ["grpc-js", "trireme"] as const) {
          measured[engine].push(await servers[engine].measure(drive, load, requests));
        }
      }
      const perSecond = (engine: RpcEngine) => median(measured[engine].map((m) => m.perSecond));
      const cpu = (engine: RpcEngine) => median(measured[engine].map((m) => m.cpuMicros));
      const name = `${style === "bare" ? "(call, callback)" : "async function "} ${load.connections}×${load.streams}`;
      for (const engine of ["grpc-js", "trireme"] as const) {
        const text = `${Math.round(perSecond(engine))}/s`.padStart(10);
        console.log(`  ${name}  ${engine.padEnd(8)} ${text}  ${cpu(engine).toFixed(1)} µs CPU`);
      }
      const faster = (perSecond("trireme") / perSecond("grpc-js")).toFixed(2);
      const leaner = (cpu("grpc-js") / cpu("trireme")).toFixed(2);
      console.log(`  ${name}  ratio: ${faster} × the requests, 1/${leaner} of the CPU each`);
    }
    for (const server of Object.values(servers)) await server.stop();
  }
}

/** The child process: an echo server on one engine, that tells its CPU time when asked. */
async function serve(engine: RpcEngine, style: Style): Promise<void> {
  const unused = () => {};
  const server = createRpcServer({ log: memoryLog(), engine });
  server.addService(EchoService, {
    say:
      style === "async"
        ? unary(async (request: Buffer) => request)
        : (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) =>
            reply(null, call.request),
    collect: unused,
    repeat: unused,
    chat: unused,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  process.send?.({ port });
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuMicros: user + system });
  });
  process.on("disconnect", () => process.exit());
}

if (import.meta.main) {
  const [command, engine, style] = process.argv.slice(2);
  if (command === "serve") await serve(engine as RpcEngine, style as Style);
  else await run(process.argv.slice(2));
}
