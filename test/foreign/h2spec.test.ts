/**
 * The whole of h2spec, the HTTP/2 conformance suite, against a server on ha/http2: plaintext and
 * TLS, strict cases included.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { attachSocket, Connection, encodeHeaders, type Stream } from "../../ha/http2/mod.ts";
import { createCa } from "../rpc/certs.ts";

const install = "go install github.com/summerwind/h2spec/cmd/h2spec@latest";
const missing = spawnSync("h2spec", ["--version"]).error !== undefined;
const skip = missing && process.env["CI"] !== "true" ? `needs h2spec (${install})` : false;

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

async function conform(server: Server, ...args: string[]): Promise<void> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const fixed = ["--strict", "-h", "127.0.0.1", "-p", String(port), "-o", "3"];
    const { stdout } = await promisify(execFile)("h2spec", [...fixed, ...args]).catch(
      (failed: { stdout?: string; message: string }) => {
        const said = failed.stdout ?? "";
        throw new Error(said.slice(said.indexOf("Failures:")) || failed.message);
      },
    );
    assert.match(stdout, /([1-9]\d\d) tests, \1 passed, 0 skipped, 0 failed/);
  } finally {
    server.close();
  }
}

test("h2spec, plaintext", { skip }, async () => {
  assert.equal(missing, false, `h2spec is missing: ${install}`);
  await conform(createServer(serve));
});

test("h2spec, TLS", { skip }, async () => {
  assert.equal(missing, false, `h2spec is missing: ${install}`);
  const ca = await createCa();
  const options = { ...(await ca.server()), ALPNProtocols: ["h2"] };
  await conform(createTlsServer(options, serve), "-t", "-k");
});
