import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { after, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import {
  call,
  connect,
  createRpcServer,
  type RpcServer,
  serverStreamIterable,
} from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { createCa } from "./certs.ts";
import { EchoClient } from "./echo.ts";
import { dial, hello, start } from "./harness.ts";
import { memoryLog } from "./helpers.ts";

describe("TLS", () => {
  const startTls = async (
    server: { cert: string; key: string },
    clientCa: string,
  ): Promise<{ address: string; server: RpcServer }> =>
    start(
      {
        say: async (_, context) => Buffer.from(JSON.stringify(context.peer.certificate ?? null)),
      },
      { tls: { ...server, clientCa } },
    );

  test("tells a handler who calls, and lets a client without a certificate in", async () => {
    const ca = await createCa();
    const { address } = await startTls(await ca.server(), ca.ca);
    const client = await ca.client("jane", ["system:masters", "devs"]);
    const jane = dial(address, { ca: ca.ca, ...client });
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(JSON.parse(String(await call(jane, "say", hello))), {
        commonName: "jane",
        organizations: ["system:masters", "devs"],
      });
    }
    const single = dial(address, { ca: ca.ca, ...(await ca.client("joe", ["one"])) });
    assert.deepEqual(JSON.parse(String(await call(single, "say", hello))), {
      commonName: "joe",
      organizations: ["one"],
    });
    assert.equal(String(await call(dial(address, { ca: ca.ca }), "say", hello)), "null");
  });

  test("refuses a certificate of another CA, or one that has expired, and says why", async () => {
    const ca = await createCa();
    const other = await createCa("other");
    const { address } = await startTls(await ca.server(), ca.ca);
    const stranger = dial(address, { ca: ca.ca, ...(await other.client("jane", ["devs"])) });
    await assert.rejects(call(stranger, "say", hello), {
      code: Code.unauthenticated,
      message: /client certificate is not signed by this cluster's CA: its issuer is unknown/,
    });
    const expired = dial(address, { ca: ca.ca, ...(await ca.client("jane", [], -1)) });
    await assert.rejects(call(expired, "say", hello), {
      code: Code.unauthenticated,
      message: /it has expired/,
    });
  });

  test("of several servers, each may be certified for its own address alone", async () => {
    const ca = await createCa();
    const { address } = await startTls(await ca.server(), ca.ca);
    // The certificate is for 127.0.0.1, where the second one listens; no server is at the first.
    const addresses = [`127.0.0.2:${address.split(":")[1]}`, address];
    const client = connect(EchoClient, { addresses, tls: { ca: ca.ca } });
    assert.equal(String(await call(client, "say", hello)), "null");
    client.close();
  });

  test("a client refuses a server of another CA", async () => {
    const ca = await createCa();
    const other = await createCa("other");
    const { address } = await startTls(await other.server(), ca.ca);
    await assert.rejects(call(dial(address, { ca: ca.ca }), "say", hello), {
      code: Code.unavailable,
    });
  });
});

describe("a server that ends while handshakes are under way", () => {
  test("does not wait for them, and lets none in", async () => {
    const ca = await createCa();
    const tls = { ...(await ca.server()), clientCa: ca.ca };
    for (const end of ["close", "drain"] as const) {
      const { server, port } = await start({}, { tls });
      const socket = connectSocket(port, "127.0.0.1");
      const gone = once(socket, "close");
      await once(socket, "connect");
      const ended = end === "close" ? server.close() : server.drain(200);
      if (end === "drain") {
        const late = connectTls({ socket, ca: ca.ca, host: "localhost", ALPNProtocols: ["h2"] });
        late.on("error", () => {});
      }
      await ended;
      await gone;
    }
  });
});

test("a client that has been closed says so with a StatusError", async () => {
  const { address } = await start({});
  const client = connect(EchoClient, { addresses: [address] });
  client.close();
  await assert.rejects(call(client, "say", hello), { name: "StatusError" });
  const stream = serverStreamIterable(client, "repeat", hello);
  await assert.rejects(stream.next(), { name: "StatusError" });
});

describe("addresses", () => {
  test("several are tried in order", async () => {
    const { port } = await start({});
    const gone = createRpcServer({ log: memoryLog() });
    const { port: dead } = await gone.listen({ host: "127.0.0.1", port: 0 });
    await gone.close();
    const client = connect(EchoClient, { addresses: [`127.0.0.1:${dead}`, `127.0.0.1:${port}`] });
    after(() => client.close());
    assert.equal(String(await call(client, "say", hello)), "hello");
  });

  test("a host name works, a bad address is named", async () => {
    const { port } = await start({});
    const client = connect(EchoClient, { addresses: [`localhost:${port}`] });
    after(() => client.close());
    assert.equal(String(await call(client, "say", hello)), "hello");
    assert.throws(() => connect(EchoClient, { addresses: ["nowhere"] }), { message: /"nowhere"/ });
    assert.throws(() => connect(EchoClient, { addresses: ["h:70000"] }), { message: /"h:70000"/ });
    assert.throws(() => connect(EchoClient, { addresses: [] }), { message: /at least one/ });
  });
});
