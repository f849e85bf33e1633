/**
 * The whole of h2spec, the HTTP/2 conformance suite, strict cases included, in plaintext and over
 * TLS: against a bare server on ha/http2, and against every kind of port that stands on it. What
 * h2spec asks is not gRPC, and is answered all the same as HTTP/2 has it.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { describe, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { startBalancer } from "../../ha/balancer/mod.ts";
import { attachSocket, Connection, encodeHeaders, type Stream } from "../../ha/http2/mod.ts";
import {
  addHealth,
  createRpcServer,
  HealthRegistry,
  type RpcServerOptions,
  type ServerTls,
} from "../../ha/rpc/mod.ts";
import { freePort } from "../ports.ts";
import { createCa } from "../rpc/certs.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { needsBuilt } from "./needs.ts";

const ok = encodeHeaders([":status", "200", "content-type", "text/plain"]);
const body = Buffer.from("a body of some bytes");

/** Answers every request with a short body, after its end. */
function serve(socket: Socket): void {
  socket.on("error", () => {});
  const answer = (stream: Stream) => {
    connection.headers(stream, ok, false);
    connection.data(stream, body, true);
  };
  const connection: Connection = new Connection("server", {
    onHeaders: (stream, _, endStream) => {
      if (endStream) answer(stream);
    },
    onData: (stream, _, start, end, endStream) => {
      connection.consume(stream, end - start);
      if (endStream) answer(stream);
    },
    onTrailers: answer,
    onReset: () => {},
    onWritable: () => {},
    onGoaway: () => {},
    onClose: () => {},
  });
  attachSocket(connection, socket);
}

/** Something that listens on loopback. */
interface Port {
  readonly port: number;
  close(): Promise<void> | void;
}

type Open = (tls: ServerTls | undefined) => Promise<Port>;

const host = "127.0.0.1";
const log = memoryLog();

/** The engine alone. */
const openBare: Open = async (tls) => {
  const server: Server =
    tls === undefined
      ? createServer(serve)
      : createTlsServer({ ...tls, ALPNProtocols: ["h2"] }, serve);
  await once(server.listen(0, host), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
    },
  };
};

/** As the apiserver serves gRPC. */
function openServer(options: Partial<RpcServerOptions> = {}): Open {
  return async (tls) => {
    const server = createRpcServer({ log, tls, ...options });
    addHealth(server, new HealthRegistry());
    const { port } = await server.listen({ host, port: 0 });
    return { port, close: () => server.close() };
  };
}

/** Its masters are away: what h2spec asks concerns the front alone. */
const openBalancer: Open = async (tls) => {
  const master = { name: "master-0", address: `${host}:${await freePort()}` };
  return startBalancer({ listen: { host, port: 0, tls }, masters: [master], log });
};

const ports: Readonly<Record<string, Open>> = {
  "ha/http2": openBare,
  "a gRPC server": openServer(),
  // As etcd's port is.
  "a gRPC server that also serves HTTP/1.1": openServer({ http1: (_, reply) => reply.end("ok") }),
  "the balancer": openBalancer,
};

async function conform(open: Open, tls: ServerTls | undefined): Promise<void> {
  const target = await open(tls);
  try {
    const args = ["--strict", "-h", host, "-p", String(target.port), "-o", "3"];
    if (tls !== undefined) args.push("-t", "-k");
    const { stdout } = await promisify(execFile)("h2spec", args).catch(
      (failed: { stdout?: string; message: string }) => {
        const said = failed.stdout ?? "";
        throw new Error(said.slice(said.indexOf("Failures:")) || failed.message);
      },
    );
    assert.match(stdout, /([1-9]\d\d) tests, \1 passed, 0 skipped, 0 failed/);
  } finally {
    await target.close();
  }
}

describe("h2spec", needsBuilt("h2spec", "github.com/summerwind/h2spec/cmd/h2spec"), () => {
  for (const [name, open] of Object.entries(ports)) {
    test(`${name}, plaintext`, () => conform(open, undefined));
    test(`${name}, TLS`, async () => {
      const ca = await createCa();
      await conform(open, { ...(await ca.server()), clientCa: ca.ca });
    });
  }
});
