/** The client on Trireme's own engine, where it promises more than a wire has to. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import type { CallFailure } from "../../ha/rpc/call-failure.ts";
import { Channel } from "../../ha/rpc/channel/channel.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { createCa } from "./certs.ts";
import { EchoService } from "./echo.ts";

test("a connection shows its certificate, and the next one resumes its TLS session", async () => {
  const ca = await createCa();
  const callers: { readonly name: string; readonly resumed: boolean }[] = [];
  const server = http2.createSecureServer({
    ...(await ca.server()),
    ...{ ca: ca.ca, requestCert: true, rejectUnauthorized: true },
  });
  const sessions: http2.ServerHttp2Session[] = [];
  server.on("session", (session) => {
    session.on("error", () => {});
    sessions.push(session);
  });
  server.on("stream", (stream) => {
    const socket = stream.session?.socket as TLSSocket;
    const { CN } = socket.getPeerCertificate().subject;
    callers.push({ name: String(CN), resumed: socket.isSessionReused() });
    stream.respond(
      { ":status": 200, "content-type": "application/grpc" },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.of(0, 0, 0, 0, 0));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const tls = { ca: ca.ca, ...(await ca.client("kubelet-7")) };
  const channel = new Channel({ address: `127.0.0.1:${port}`, tls });
  const say = () => {
    const deadline = Date.now() + patienceMillis;
    return channel.unary(EchoService.say, Buffer.of(), { fields: [], deadline });
  };
  try {
    await say();
    // The server says goodbye: the next call needs another connection.
    for (const session of sessions) session.close();
    await eventually("a call on a resumed session", async () => {
      // Refused: it was on its way when the goodbye came.
      await say().catch((error: CallFailure) => assert.ok(error.notBegun, error.message));
      return callers.at(-1)?.resumed === true;
    });
    assert.deepEqual([...new Set(callers.map(({ name }) => name))], ["kubelet-7"]);
    assert.equal(callers[0]?.resumed, false);
  } finally {
    channel.close();
    server.close();
  }
});
