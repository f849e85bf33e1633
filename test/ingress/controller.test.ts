import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { MetricsRegistry } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { createAuthority } from "../../services/apiserver/pki/authority.ts";
import type { TriremeClient } from "../../services/client/mod.ts";
import { IngressController } from "../../services/ingress/controller.ts";
import { ingressLimits } from "../../services/ingress/limits.ts";
import { quietLog } from "../client/quiet-log.ts";
import { RealApi } from "../client/real-api.ts";
import { eventually } from "../patience.ts";

interface Answer {
  readonly status: number;
  readonly body: string;
}

describe("an ingress controller", () => {
  const directory = mkdtempSync(join(tmpdir(), "trireme-ingress-"));
  const closers: (() => unknown)[] = [];
  let api: RealApi;
  let client: TriremeClient;
  let controller: IngressController;
  let ports: { http: number; https: number };
  let ca: string;

  /** Says who it is and what it was asked. */
  async function backend(name: string): Promise<number> {
    const server = createServer(async (asked, answer) => {
      const body = await text(asked);
      const {
        host,
        connection,
        "x-forwarded-for": from,
        "x-forwarded-proto": scheme,
      } = asked.headers;
      answer.setHeader("x-backend", name);
      answer.end(JSON.stringify({ name, url: asked.url, host, from, scheme, connection, body }));
    });
    server.on("upgrade", (_, socket) => {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n",
      );
      socket.pipe(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => {
      server.close();
      server.closeAllConnections();
    });
    return (server.address() as { port: number }).port;
  }

  async function service(
    name: string,
    targets: readonly number[],
    appProtocol?: string,
  ): Promise<void> {
    const ports = [{ name: "http", port: 80, ...(appProtocol && { appProtocol }) }];
    await client.services.create({ metadata: { name, namespace: "default" }, spec: { ports } });
    await Promise.all(
      targets.map((port, i) =>
        client.endpointSlices.create({
          metadata: {
            name: `${name}-${i}`,
            namespace: "default",
            labels: { "kubernetes.io/service-name": name },
          },
          addressType: "IPv4",
          endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
          ports: [{ name: "http", port, protocol: "TCP" }],
        }),
      ),
    );
  }

  function ask(host: string, path: string, more: { body?: string; headers?: object } = {}) {
    return new Promise<Answer>((resolve, reject) => {
      const { body = "", headers = {} } = more;
      const method = body === "" ? "GET" : "POST";
      const sent = request(
        { host: "127.0.0.1", port: ports.http, path, method, headers: { host, ...headers } },
        (answer: IncomingMessage) => {
          text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  }
  const served = async (host: string, path: string) => JSON.parse((await ask(host, path)).body);

  before(async () => {
    api = await RealApi.open();
    client = api.client();
    const authority = await createAuthority(directory);
    ca = authority.cert;
    const secret = async (name: string, host: string) => {
      const pair = await authority.issue({
        ...{ commonName: host, organizations: [], hosts: [host], days: 1, use: "server" },
      });
      const data = {
        "tls.crt": Buffer.from(pair.cert).toString("base64"),
        "tls.key": Buffer.from(pair.key).toString("base64"),
      };
      const metadata = { name, namespace: "default" };
      await client.secrets.create({ metadata, type: "kubernetes.io/tls", data } as never);
    };
    await secret("shop-tls", "shop.example.com");
    await secret("wild-tls", "*.wild.example.com");
    await service("one", [await backend("one")]);
    await service("two", [await backend("two-a"), await backend("two-b"), 9]);
    await service("empty", []);
    controller = new IngressController({
      ...{ client, host: "127.0.0.1", httpPort: 0, httpsPort: 0, className: "trireme" },
      ...{ clock: productionClock, log: quietLog, metrics: new MetricsRegistry() },
    });
    const started = await controller.start();
    assert.ok(started);
    ports = started;
    const to = (name: string) => ({ service: { name, port: { name: "http" } } });
    await client.ingresses.create({
      metadata: { name: "shop", namespace: "default" },
      spec: {
        defaultBackend: to("one"),
        tls: [
          { hosts: ["shop.example.com"], secretName: "shop-tls" },
          { hosts: ["*.wild.example.com"], secretName: "wild-tls" },
          { hosts: ["lost.example.com"], secretName: "absent" },
        ],
        rules: [
          {
            host: "shop.example.com",
            http: {
              paths: [
                { path: "/two", pathType: "Prefix", backend: to("two") },
                { path: "/empty", pathType: "Prefix", backend: to("empty") },
                { path: "/absent", pathType: "Prefix", backend: to("absent") },
                { path: "/", pathType: "Prefix", backend: to("one") },
              ],
            },
          },
        ],
      },
    });
    await eventually(
      "the ingress to be served",
      async () => (await ask("shop.example.com", "/")).status === 200,
    );
  });
  after(async () => {
    await controller?.close();
    for (const close of closers) close();
    await api?.close();
    rmSync(directory, { recursive: true });
  });

  test("makes its class, the default one, and says where it serves", async () => {
    const made = await client.ingressClasses.get("trireme");
    assert.equal(
      made.metadata?.annotations?.["ingressclass.kubernetes.io/is-default-class"],
      "true",
    );
    const ingress = await eventually("the status", async () => {
      const found = await client.ingresses.get("shop", "default");
      return (found.status?.loadBalancer?.ingress ?? []).length > 0 ? found : undefined;
    });
    assert.equal(ingress.spec?.ingressClassName, "trireme");
    assert.deepEqual(ingress.status?.loadBalancer?.ingress?.[0]?.ip, "127.0.0.1");
  });

  test("relays requests with what the backend must know of the client", async () => {
    const { body } = await ask("shop.example.com:7440", "/a?b=c", {
      body: "hello",
      headers: { "x-forwarded-for": "192.0.2.1", connection: "close, x-secret", "x-secret": "1" },
    });
    const { connection: _, ...seen } = JSON.parse(body);
    assert.deepEqual(seen, {
      ...{ name: "one", url: "/a?b=c", host: "shop.example.com:7440", body: "hello" },
      ...{ from: "192.0.2.1, 127.0.0.1", scheme: "http" },
    });
    assert.equal((await served("elsewhere.example.com", "/")).name, "one", "the default backend");
  });

  test("goes round all endpoints, and past one that refuses", async () => {
    const names = new Set<string>();
    for (let i = 0; i < 9; i++) names.add((await served("shop.example.com", "/two/x")).name);
    assert.deepEqual([...names].sort(), ["two-a", "two-b"]);
  });

  test("a service without endpoints, and none at all, are named", async () => {
    const empty = await ask("shop.example.com", "/empty");
    assert.deepEqual(empty, { status: 503, body: 'the service "empty" has no ready endpoint\n' });
    const absent = await ask("shop.example.com", "/absent/x");
    assert.deepEqual(absent, { status: 503, body: 'the service "absent" does not exist\n' });
    await eventually("the events", async () => {
      const { items } = await client.events.list({ namespace: "default" });
      const messages = items.map(({ message }) => message);
      return (
        messages.includes('the service "absent" does not exist') &&
        messages.includes('the secret "absent" does not exist')
      );
    });
  });

  test("TLS: the certificate of the name, HTTP/2, and no handshake without one", async () => {
    const session = connectHttp2(`https://shop.example.com:${ports.https}`, {
      ca,
      createConnection: () =>
        connectTls({
          ...{ host: "127.0.0.1", port: ports.https, servername: "shop.example.com", ca },
          ALPNProtocols: ["h2"],
        }),
    });
    const stream = session.request({ ":path": "/h2" });
    const { name, url, scheme } = JSON.parse(await text(stream));
    assert.deepEqual([name, url, scheme], ["one", "/h2", "https"]);
    session.close();
    const handshake = (servername: string) =>
      new Promise<string>((resolve) => {
        const socket = connectTls({ host: "127.0.0.1", port: ports.https, servername, ca });
        socket.on("secureConnect", () => {
          resolve(socket.getPeerCertificate().subject.CN?.toString() ?? "");
          socket.destroy();
        });
        socket.on("error", (error) => resolve((error as NodeJS.ErrnoException).code ?? "refused"));
      });
    assert.equal(await handshake("a.wild.example.com"), "*.wild.example.com");
    for (const host of ["lost.example.com", "other.example.com"]) {
      assert.match(await handshake(host), /ECONNRESET|ALERT|refused/i, host);
    }
  });

  test("gRPC: HTTP/2 to a port that speaks it, with messages both ways and trailers", async () => {
    const server = createHttp2Server();
    server.on("stream", (stream, headers) => {
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "x-te": headers.te ?? "" },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "7" }));
      stream.pipe(stream);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    const { port } = server.address() as { port: number };
    await service("calls", [port], "kubernetes.io/h2c");
    const backend = { service: { name: "calls", port: { name: "http" } } };
    await client.ingresses.create({
      metadata: { name: "calls", namespace: "default" },
      spec: {
        rules: [
          {
            host: "a.wild.example.com",
            http: { paths: [{ path: "/", pathType: "Prefix", backend }] },
          },
        ],
      },
    });
    await eventually(
      "the rule",
      async () => (await ask("a.wild.example.com", "/", { body: "x" })).body === "x",
    );
    const session = connectHttp2(`https://a.wild.example.com:${ports.https}`, {
      ca,
      createConnection: () =>
        connectTls({
          ...{ host: "127.0.0.1", port: ports.https, servername: "a.wild.example.com", ca },
          ALPNProtocols: ["h2"],
        }),
    });
    const stream = session.request({ ":path": "/S/M", ":method": "POST", te: "trailers" });
    const [head] = await Promise.all([once(stream, "response"), stream.write("one")]);
    assert.deepEqual([head[0]["content-type"], head[0]["x-te"]], ["application/grpc", "trailers"]);
    const trailers = once(stream, "trailers");
    assert.equal(String((await once(stream, "data"))[0]), "one", "before the request has ended");
    stream.end("two");
    assert.equal(await text(stream), "two");
    assert.equal((await trailers)[0]["grpc-status"], "7");
    session.close();
  });

  test("an upgraded connection is relayed both ways", async () => {
    const socket = connect(ports.http, "127.0.0.1");
    const head =
      "GET /ws HTTP/1.1\r\nhost: shop.example.com\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    socket.write(head);
    let received = "";
    socket.on("data", (piece) => {
      received += piece.toString();
    });
    await eventually("the switch", () => received.includes("\r\n\r\n"));
    assert.match(received, /^HTTP\/1\.1 101 /);
    socket.write("ping");
    await eventually("the echo", () => received.endsWith("ping"));
    socket.destroy();
  });

  test("what is malformed is refused, and no backend hears of it", async () => {
    const raw = async (head: string) => {
      const socket = connect(ports.http, "127.0.0.1");
      socket.end(head);
      return (await text(socket)).split("\r\n", 1).join("");
    };
    const close = "connection: close\r\n\r\n";
    assert.match(await raw(`GET /\u00e9 HTTP/1.1\r\nhost: shop.example.com\r\n${close}`), /400/);
    assert.match(await raw(`GET / HTTP/1.1\r\nhost: a b\r\n${close}`), /400/);
    assert.match(await raw(`GET / HTTP/1.1\r\n${close}`), /400/);
    const long = "x".repeat(ingressLimits.headBytesMax);
    assert.match(await raw(`GET / HTTP/1.1\r\nhost: a\r\nx: ${long}\r\n${close}`), /431/);
    const smuggled = "content-length: 3\r\ntransfer-encoding: chunked\r\n";
    assert.match(await raw(`POST / HTTP/1.1\r\nhost: a\r\n${smuggled}${close}0\r\n\r\n`), /400/);
  });

  test("an endpoint that breaks off gives 502", async () => {
    const server = createTcpServer((socket) => socket.destroy());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    await service("broken", [(server.address() as { port: number }).port]);
    await client.ingresses.create({
      metadata: { name: "broken", namespace: "default" },
      spec: {
        rules: [
          {
            host: "broken.example.com",
            http: {
              paths: [
                {
                  path: "/",
                  pathType: "Prefix",
                  backend: { service: { name: "broken", port: { number: 80 } } },
                },
              ],
            },
          },
        ],
      },
    });
    await eventually("the rule", async () => (await ask("broken.example.com", "/")).status === 502);
    await client.ingresses.delete("broken", "default");
    await eventually(
      "the rule's end",
      async () => (await ask("broken.example.com", "/")).status === 200,
    );
  });
});
