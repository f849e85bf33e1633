/** HTTP to pods and services through the apiserver and the pod's kubelet. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { Readiness } from "../../services/apiserver/faces/grpc/cluster.ts";
import { RestServer } from "../../services/apiserver/faces/rest/server.ts";
import { upgradeHandler } from "../../services/apiserver/faces/rest/streams/upgrade.ts";
import { make, quietLog, service } from "../apiserver/harness.ts";
import { podAddress, type StreamWorld, streamWorld } from "../kubelet/stream-world.ts";
import { eventually } from "../patience.ts";

let streams: StreamWorld;
let rest: RestServer;
let origin: string;
let web: Server;
let port: number;
let seen: { request: IncomingMessage; body: string } | undefined;

before(async () => {
  streams = await streamWorld();
  rest = new RestServer({
    face: streams.face,
    readiness: new Readiness(),
    log: quietLog,
    onUpgrade: upgradeHandler(streams.face),
  });
  origin = `http://127.0.0.1:${(await rest.listen({ host: "127.0.0.1", port: 0 })).port}`;
  web = createServer(async (request, response) => {
    seen = { request, body: await text(request) };
    if (request.url === "/away") response.writeHead(302, { location: "/other" });
    else if (request.url === "/broken") response.writeHead(500);
    response.end(
      request.url === "/big" ? "x".repeat(3_000_000) : `${request.method} ${request.url}`,
    );
  });
  web.on("upgrade", webSockets.upgraded);
  await new Promise<void>((resolve) => web.listen(0, podAddress, resolve));
  port = (web.address() as AddressInfo).port;
  const { backend } = streams.world;
  await make(
    backend,
    service("front", {
      ports: [
        { name: "http", port: 80 },
        { name: "b", port: 81 },
      ],
    }),
  );
  await make(backend, service("empty"));
  const targetRef = { kind: "Pod", namespace: "default", name: "web" };
  await make(backend, {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name: "front", namespace: "default" },
    subsets: [
      {
        addresses: [{ ip: podAddress, targetRef }],
        ports: [
          { name: "http", port, protocol: "TCP" },
          { name: "b", port: 1, protocol: "TCP" },
        ],
      },
    ],
  });
});
/** What the pod does with WebSockets: it echoes, says goodbye, or refuses. */
const webSockets = {
  server: new WebSocketServer({ noServer: true, handleProtocols: () => "chat" }),
  closed: [] as number[],
  handshakes: [] as { request: IncomingMessage }[],
  get url() {
    return `${origin.replace("http", "ws")}/api/v1/namespaces/default`;
  },
  upgraded(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    webSockets.handshakes.push({ request });
    if (request.url === "/closed") {
      socket.end("HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
      return;
    }
    webSockets.server.handleUpgrade(request, socket, head, (one) => {
      one.on("message", (data: Buffer) => one.send(data.toString()));
      one.on("close", (code) => webSockets.closed.push(code));
      if (request.url === "/bye") one.close(1000);
    });
  },
};

after(async () => {
  web.closeAllConnections();
  web.close();
  await rest.close();
  await streams[Symbol.asyncDispose]();
});

function ask(path: string, options: RequestInit = {}): Promise<Response> {
  const url = `${origin}/api/v1/namespaces/default/${path}`;
  return fetch(url, { redirect: "manual", ...options });
}

test("every method reaches the pod, with path, query and body", async () => {
  const put = await ask(`pods/web:${port}/proxy/a%20b/c?x=1&y=%26`, {
    method: "PUT",
    body: "sent",
    headers: { "content-type": "text/plain", authorization: "Bearer secret" },
  });
  assert.equal(await put.text(), "PUT /a%20b/c?x=1&y=%26");
  assert.equal(seen?.body, "sent");
  assert.equal(seen?.request.headers["content-type"], "text/plain");
  assert.equal(seen?.request.headers.authorization, undefined, "credentials stay here");
  for (const method of ["GET", "POST", "DELETE"]) {
    const response = await ask(`pods/web:${port}/proxy/`, { method });
    assert.equal(await response.text(), `${method} /`);
  }
});

test("its answers come back: codes, redirects, large bodies", async () => {
  assert.equal((await ask(`pods/web:${port}/proxy/broken`)).status, 500);
  const away = await ask(`pods/http:web:${port}/proxy/away`);
  const base = `/api/v1/namespaces/default/pods/http:web:${port}/proxy`;
  assert.deepEqual([away.status, away.headers.get("location")], [302, `${base}/other`]);
  const big = await ask(`pods/web:${port}/proxy/big`);
  assert.equal((await big.text()).length, 3_000_000);
});

test("services, by the port's name and number", async () => {
  assert.equal(await (await ask("services/front:http/proxy/x")).text(), "GET /x");
  assert.equal(await (await ask("services/front:80/proxy/x")).text(), "GET /x");
});

const refusals: [string, string, number, RegExp][] = [
  ["no pod", "pods/none:80/proxy/", 404, /pods "none" not found/],
  ["a port that is none", "pods/web:x/proxy/", 400, /port "x"/],
  ["a scheme that is none", "pods/ftp:web:1/proxy/", 400, /invalid pod request "ftp:web:1"/],
  ["a pod without a node", "pods/floating:80/proxy/", 400, /does not have a host assigned/],
  ["a closed port", "pods/web:1/proxy/", 503, /error trying to reach service: failed to connect/],
  ["no service", "services/none/proxy/", 404, /services "none" not found/],
  ["no endpoints", "services/empty/proxy/", 503, /no endpoints available for service "empty"/],
  ["no such port", "services/front:99/proxy/", 503, /no service port 99 found for service "front"/],
  ["no such name", "services/front:z/proxy/", 503, /no endpoints available for service "front:z"/],
  [
    "a closed port behind a service",
    "services/front:b/proxy/",
    503,
    /error trying to reach service/,
  ],
];
for (const [name, path, code, message] of refusals) {
  test(`refused: ${name}`, async () => {
    const response = await ask(path);
    assert.equal(response.status, code);
    assert.match(((await response.json()) as { message: string }).message, message);
  });
}

test("refused: a caller without the right", async () => {
  const response = await ask(`pods/web:${port}/proxy/`, {
    method: "POST",
    headers: { as: "mallory" },
  });
  assert.equal(response.status, 403);
  assert.match(await response.text(), /cannot create resource \\"pods\/proxy\\"/);
});

test("a WebSocket reaches a pod and a service's pod, both ways, and ends at both ends", async () => {
  const { server, closed, url, handshakes } = webSockets;
  for (const path of [`pods/web:${port}`, "services/front:http"]) {
    const token = "base64url.bearer.authorization.k8s.io.c2VjcmV0";
    const client = new WebSocket(`${url}/${path}/proxy/chat?room=1`, [token, "chat"], {
      headers: { "x-remote-user": "root", cookie: "a=b" },
    });
    const answers: string[] = [];
    client.on("message", (data: Buffer) => answers.push(data.toString()));
    await once(client, "open");
    assert.equal(client.protocol, "chat");
    const big = "x".repeat(200_000);
    client.send("hello");
    client.send(big);
    await eventually("the echo", () => answers.length === 2);
    assert.deepEqual(answers, ["hello", big]);
    const { request } = handshakes.at(-1) ?? assert.fail("no handshake");
    assert.equal(request.url, "/chat?room=1");
    assert.equal(request.headers["sec-websocket-protocol"], "chat");
    assert.equal(request.headers.cookie, "a=b");
    assert.equal(request.headers["x-remote-user"], undefined);
    const before = closed.length;
    client.close(4000, "enough");
    await eventually("the end at the other end", () => closed.length > before);
    assert.equal(closed.at(-1), 4000);
  }
  const told = new WebSocket(`${url}/pods/web:${port}/proxy/bye`, "chat");
  const [code] = await once(told, "close");
  assert.equal(code, 1000);
  server.clients.forEach((each) => {
    each.terminate();
  });
});

test("an upgrade that is refused, here or there, is an answer", async () => {
  const refused = async (path: string) => {
    const client = new WebSocket(`${webSockets.url}/${path}`);
    client.on("error", () => {});
    const [, response] = (await once(client, "unexpected-response")) as [unknown, IncomingMessage];
    const said = await text(response);
    return [response.statusCode, said] as const;
  };
  assert.deepEqual(await refused(`pods/web:${port}/proxy/closed`), [418, "no"]);
  const rows = [
    ["pods/none:80/proxy/", 404, /pods \\"none\\" not found|pods "none" not found/],
    ["pods/web:1/proxy/", 503, /error trying to reach service: failed to connect/],
    ["services/empty/proxy/", 503, /no endpoints available for service/],
  ] as const;
  for (const [path, status, words] of rows) {
    const [code, said] = await refused(path);
    assert.equal(code, status, said);
    assert.match(said, words);
  }
});
