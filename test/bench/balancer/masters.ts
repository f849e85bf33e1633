/**
 * Three masters in one process that answer everything at once and do nothing, by gRPC and by REST:
 * what stands behind the balancer when only its own work counts. Without TLS.
 *
 * `--ports`: three for gRPC, then three for REST.
 */
import {
  attachSocket,
  Connection,
  encodeHeaders,
  type HeaderBlock,
  type Stream,
} from "../../../ha/http2/mod.ts";
import { createRpcServer, Listener, serverStream, unary } from "../../../ha/rpc/mod.ts";
import { program, runProgram } from "../../../ha/runtime/production/process.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { ClusterService, type MemberStatus } from "../../../proto/gen/cluster.ts";
import { type Lease, LeasesService } from "../../../proto/gen/coordination.ts";

const host = "127.0.0.1";
const lease: Lease = { metadata: { name: "x".repeat(200) } };
const document = Buffer.from(JSON.stringify({ kind: "ConfigMap", data: { a: "x".repeat(200) } }));
const head = encodeHeaders([
  ...[":status", "200", "content-type", "application/json"],
  ...["content-length", String(document.length)],
]);

async function serveGrpc(name: string, port: number, log: Log): Promise<() => Promise<void>> {
  const status: MemberStatus = { name, term: 1, ready: true, leaderName: "master-0" };
  status.role = name === "master-0" ? "leader" : "follower";
  const server = createRpcServer({ log });
  const methods = Object.keys(LeasesService).filter((method) => method !== "watch");
  const answer = unary<never, Lease>(async () => lease) as never;
  const none = serverStream<never, never>(async function* () {}) as never;
  server.addService(LeasesService, {
    ...Object.fromEntries(methods.map((method) => [method, answer])),
    watch: none,
  });
  server.addService(ClusterService, {
    status: unary<never, MemberStatus>(async () => status) as never,
    pods: none,
    snapshot: none,
    watchStatus: serverStream<never, MemberStatus>(async function* (_, { signal }) {
      yield status;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }) as never,
  });
  await server.listen({ host, port });
  return () => server.close();
}

async function serveRest(port: number, log: Log): Promise<() => void> {
  const listener = new Listener({ log }, (socket) => {
    const answer = (stream: Stream) => {
      connection.headers(stream, head, false);
      connection.data(stream, document, true);
    };
    const connection: Connection = new Connection("server", {
      onHeaders(stream: Stream, _: HeaderBlock, endStream: boolean) {
        if (endStream) answer(stream);
      },
      onData(stream: Stream, _: Buffer, start: number, end: number, endStream: boolean) {
        connection.consume(stream, end - start);
        if (endStream) answer(stream);
      },
      onTrailers: answer,
      onReset() {},
      onWritable() {},
      onGoaway() {},
      onClose() {},
    });
    attachSocket(connection, socket);
  });
  await listener.listen({ host, port });
  return () => {
    listener.stop();
    listener.destroyConnections();
  };
}

const masters = program({
  name: "bench-masters",
  summary: "three masters that answer at once and do nothing",
  flags: { ports: { type: "string", required: true, help: "six ports, separated by commas" } },
  async start(values, log) {
    const ports = values.ports.split(",").map(Number);
    const stops: (() => unknown)[] = [];
    for (const [n, port] of ports.entries()) {
      const serve = n < 3 ? serveGrpc(`master-${n}`, port, log) : serveRest(port, log);
      stops.push(await serve);
    }
    return {
      async stop() {
        for (const stop of stops) await stop();
      },
    };
  },
});

await runProgram(masters, process.argv.slice(2));
