/** The load client: filled templates, calls by code, deadlines, connections that come and go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRpcServer, type RpcServer, unary } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import {
  Call,
  LoadClient,
  namePlace,
  placed,
  RequestTemplate,
  stampPlace,
} from "../../services/load/client/mod.ts";
import { freePorts } from "../ports.ts";
import { restWorld } from "../rest/harness.ts";
import { EchoService } from "../rpc/echo.ts";
import { memoryLog } from "../rpc/helpers.ts";

type Say = (request: Buffer) => Promise<Buffer>;

async function echo(say: Say, port = 0): Promise<{ server: RpcServer; port: number }> {
  const server = createRpcServer({ log: memoryLog(), engine: "trireme" });
  const unused = () => {};
  const rest = { collect: unused, repeat: unused, chat: unused };
  server.addService(EchoService, { say: unary(say), ...rest });
  return { server, port: (await server.listen({ host: "127.0.0.1", port })).port };
}

const template = (message: string, port: number) =>
  RequestTemplate.grpc(
    { scheme: "http", authority: `127.0.0.1:${port}`, path: "/test.Echo/Say" },
    Buffer.from(message),
  );

function client(port: number, deadlineMillis?: number) {
  return new LoadClient({ addresses: [`127.0.0.1:${port}`], protocol: "grpc", deadlineMillis });
}

const messageOf = (framed: Buffer) => framed.subarray(5).toString();

test("numbers are written into their places of a template", async () => {
  const { server, port } = await echo(async (request) => request);
  const load = client(port);
  try {
    const both = template(`a-${namePlace}/${stampPlace}/${namePlace}`, port);
    assert.equal(
      messageOf(await load.ask(both, 42, 7)),
      `a-${placed(42)}/${placed(7)}/${placed(42)}`,
    );
    assert.equal(messageOf(await load.ask(both, 9_999_999_999, 0)).slice(2, 12), "9999999999");
    assert.equal(messageOf(await load.ask(template("as it is", port))), "as it is");
  } finally {
    load.close();
    await server.close();
  }
});

test("a call ends once, with its code, and can be used again", async () => {
  const { server, port } = await echo(async (request) => {
    const text = request.toString();
    if (text !== "good") throw new StatusError(Code.resourceExhausted, `no room for ${text} ü`);
    return request;
  });
  const load = client(port);
  try {
    const seen: string[] = [];
    await new Promise<void>((resolve) => {
      const call = new Call(({ code, message }) => {
        seen.push(`${code} ${message}`.trim());
        if (seen.length === 1) load.send(template("bad", port), call);
        else resolve();
      });
      load.send(template("good", port), call);
    });
    assert.deepEqual(seen, ["OK", "RESOURCE_EXHAUSTED no room for bad ü"]);
  } finally {
    load.close();
    await server.close();
  }
});

test("a call that is not answered is given up at its deadline", async () => {
  const { server, port } = await echo(() => new Promise(() => {}));
  const load = client(port, 150);
  try {
    await load.connected(5_000);
    await assert.rejects(load.ask(template("x", port)), { code: "DEADLINE_EXCEEDED" });
  } finally {
    load.close();
    await server.close();
  }
});

test("calls wait for a connection, and those under way end with theirs", async () => {
  const [port = 0] = await freePorts(1);
  const load = client(port, 20_000);
  const early = load.ask(template("early", port));
  const first = await echo(async (request) => request, port);
  assert.equal(messageOf(await early), "early");
  await first.server.close();
  let reached = false;
  const second = await echo(() => {
    reached = true;
    void second.server.close();
    return new Promise(() => {});
  }, port);
  // The client may not have heard yet that the first server is gone.
  while (!reached) {
    await assert.rejects(load.ask(template("lost", port)), { code: "UNAVAILABLE" });
  }
  const third = await echo(async (request) => request, port);
  try {
    assert.equal(messageOf(await load.ask(template("late", port))), "late");
  } finally {
    load.close();
    await third.server.close();
  }
});

test("a client that cannot connect says why, and a closed one ends its calls", async () => {
  const [port = 0] = await freePorts(1);
  const load = client(port, 200);
  await assert.rejects(load.connected(100), /ECONNREFUSED/);
  await assert.rejects(load.ask(template("x", port)), { code: "UNAVAILABLE" });
  const waiting = assert.rejects(load.ask(template("x", port)), /the client is closed/);
  load.close();
  await waiting;
  await assert.rejects(load.ask(template("x", port)), /the client is closed/);
});

test("REST: names in paths and bodies, and errors by their status", async () => {
  await using world = await restWorld();
  const address = `127.0.0.1:${world.port}`;
  const { cert, key } = world.admin;
  const tls = { ca: world.ca, cert, key };
  const load = new LoadClient({ addresses: [address], protocol: "rest", tls });
  try {
    const to = { scheme: "https", authority: address };
    // Longer than what Huffman's code would be used for elsewhere.
    const name = `load-${"long-".repeat(12)}${namePlace}`;
    const base = "/api/v1/namespaces/default/configmaps";
    const document = { apiVersion: "v1", kind: "ConfigMap", metadata: { name } };
    const body = Buffer.from(JSON.stringify(document));
    const create = RequestTemplate.rest({ method: "POST", ...to, path: base }, body);
    const get = RequestTemplate.rest({ method: "GET", ...to, path: `${base}/${name}` }, undefined);
    await load.ask(create, 17);
    const made = JSON.parse((await load.ask(get, 17)).toString()) as {
      metadata: { name: string };
    };
    assert.equal(made.metadata.name, name.replace(namePlace, placed(17)));
    await assert.rejects(load.ask(create, 17), { code: "HTTP 409" });
    await assert.rejects(load.ask(get, 18), { code: "HTTP 404", message: /not found/ });
  } finally {
    load.close();
  }
});
