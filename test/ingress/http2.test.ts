/** HTTP/2 clients of the ingress, before endpoints of HTTP/1.1 and of HTTP/2. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type OutgoingHttpHeaders,
} from "node:http2";
import { request as httpsRequest } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { connect as connectTls, createSecureContext } from "node:tls";
import { createAuthority } from "../../services/apiserver/pki/authority.ts";
import { IngressProxy } from "../../services/ingress/proxy.ts";
import { quietLog } from "../client/quiet-log.ts";
import { eventually } from "../patience.ts";

type Asked = IncomingMessage | Http2ServerRequest;
type Answer = ServerResponse | Http2ServerResponse;

const name = "shop.example.com";

describe("an ingress and HTTP/2", () => {
  const directory = mkdtempSync(join(tmpdir(), "trireme-ingress-"));
  const backends: Server[] = [];
  let ca: string;
  let proxy: IngressProxy;
  let port: number;
  let session: ClientHttp2Session;
  /** What the endpoint is kept from sending, and whether its client has gone. */
  const flood = { blocked: false, gone: false };

  function answer(asked: Asked, response: Answer): void {
    const path = (asked.url ?? "").replace(/^\/h[12]/, "");
    const to = response as ServerResponse;
    if (path === "/echo") asked.pipe(to);
    else if (path === "/early") to.writeHead(413).end("too much");
    else if (path === "/cookies") {
      to.setHeader("set-cookie", ["a=1", "b=2"]);
      to.end(asked.headers.cookie);
    } else if (path === "/flood") {
      const send = () => {
        while (to.write(Buffer.alloc(65_536)));
        flood.blocked = true;
      };
      to.on("drain", send);
      to.on("close", () => {
        flood.gone = true;
      });
      send();
    } else to.destroy();
  }

  before(async () => {
    const authority = await createAuthority(directory);
    ca = authority.cert;
    const certificate = { commonName: name, organizations: [], hosts: [name], days: 1 };
    const context = createSecureContext(await authority.issue({ ...certificate, use: "server" }));
    backends.push(createServer(answer), createHttp2Server(answer));
    for (const backend of backends) await once(backend.listen(0, "127.0.0.1"), "listening");
    const [first, second] = backends.map((one) => (one.address() as AddressInfo).port);
    proxy = new IngressProxy({
      ...{ host: "127.0.0.1", httpPort: 0, httpsPort: 0, log: quietLog },
      resolve: (_, path) => {
        const h2c = path.startsWith("/h2/");
        return { endpoints: [{ ip: "127.0.0.1", port: (h2c ? second : first) ?? 0, h2c }] };
      },
      contextFor: () => context,
    });
    port = (await proxy.listen()).https;
    const to = { host: "127.0.0.1", port, servername: name, ca, ALPNProtocols: ["h2"] };
    session = connectHttp2(`https://${name}:${port}`, { createConnection: () => connectTls(to) });
    await once(session, "connect");
  });
  after(async () => {
    session.destroy();
    await proxy.close();
    for (const backend of backends) backend.close();
    rmSync(directory, { recursive: true });
  });

  async function ask(path: string, body?: Buffer, headers: OutgoingHttpHeaders = {}) {
    const method = body === undefined ? "GET" : "POST";
    const stream = session.request({ ":path": path, ":method": method, ...headers });
    stream.end(body);
    const [head] = await once(stream, "response");
    return { status: head[":status"], head, body: await buffer(stream) };
  }

  for (const way of ["/h1", "/h2"]) {
    test(`${way}: large bodies both ways at once`, async () => {
      const sent = Buffer.alloc(1_000_000, "0123456789");
      const all = await Promise.all([1, 2, 3].map(() => ask(`${way}/echo`, sent)));
      for (const { body } of all) assert.ok(body.equals(sent));
    });

    test(`${way}: a client that does not read holds its endpoint up, and may leave`, async () => {
      Object.assign(flood, { blocked: false, gone: false });
      const stream = session.request({ ":path": `${way}/flood` });
      await once(stream, "response");
      await eventually("the endpoint to wait", () => flood.blocked);
      assert.equal(
        (await ask(`${way}/echo`, Buffer.from("x"))).body.toString(),
        "x",
        "others go on",
      );
      stream.close(constants.NGHTTP2_CANCEL);
      await eventually("the endpoint to know", () => flood.gone);
    });

    test(`${way}: an answer before the request is whole`, async () => {
      const stream = session.request({ ":path": `${way}/early`, ":method": "POST" });
      stream.write("some");
      const [head] = await once(stream, "response");
      assert.equal(head[":status"], 413);
      assert.equal(await text(stream), "too much");
    });

    test(`${way}: cookies are one field on the way there, and apart on the way back`, async () => {
      const { head, body } = await ask(`${way}/cookies`, undefined, { cookie: ["x=1", "y=2"] });
      assert.deepEqual(head["set-cookie"], ["a=1", "b=2"]);
      assert.equal(body.toString(), "x=1; y=2");
    });

    test(`${way}: an endpoint that breaks off is 502`, async () => {
      const { status, body } = await ask(`${way}/broken`);
      assert.deepEqual([status, body.toString()], [502, "the endpoint broke off\n"]);
    });
  }

  test("HTTP/1.1 over TLS reaches both kinds of endpoints", async () => {
    for (const way of ["/h1", "/h2"]) {
      const to = { host: "127.0.0.1", port, servername: name, ca, headers: { host: name } };
      const sent = httpsRequest({ ...to, path: `${way}/echo`, method: "POST", agent: false });
      sent.end("over TLS");
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      assert.equal(await text(response), "over TLS");
    }
  });
});
