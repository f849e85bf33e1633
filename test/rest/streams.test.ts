/** Exec, attach and port-forward over WebSocket: handshakes, channels, the SPDY tunnel. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";

import { podAddress, type StreamWorld, streamWorld } from "../kubelet/stream-world.ts";
import { eventually } from "../patience.ts";
import {
  ChannelClient,
  refusalOf,
  SpdyClient,
  TunnelClient,
  type UpgradeServer,
  upgrade,
  upgradeServer,
} from "./streams-client.ts";

let streams: StreamWorld;
let server: UpgradeServer;
before(async () => {
  streams = await streamWorld();
  server = await upgradeServer(streams);
  await streams.start("main", "sleep 1000");
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await streams[Symbol.asyncDispose]();
});

const base = "/api/v1/namespaces/default/pods/web";

function execPath(command: readonly string[], more = "stdout=true&stderr=true"): string {
  const words = command.map((word) => `command=${encodeURIComponent(word)}`).join("&");
  return `${base}/exec?container=main&${words}&${more}`;
}

function open(path: string, protocols = ["v5.channel.k8s.io"], as?: string) {
  return ChannelClient.open(server.port, path, protocols, as);
}

describe("exec over channels", () => {
  test("outputs, exit code and the order of what ends", async () => {
    const client = await open(execPath(["sh", "-c", "echo out; echo err >&2; exit 42"]));
    assert.equal(client.socket.protocol, "v5.channel.k8s.io");
    assert.equal(await client.closed, 1000);
    assert.deepEqual([...(client.messages[0] ?? [])], [1], "the first message is empty");
    assert.deepEqual([client.text(1), client.text(2)], ["out\n", "err\n"]);
    assert.equal(client.messages.at(-1)?.[0], 3, "the status comes last");
    assert.deepEqual(client.status, {
      metadata: {},
      status: "Failure",
      message: "command terminated with non-zero exit code: exit status 42",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "42" }] },
    });
  });

  test("success is told", async () => {
    const client = await open(execPath(["true"]), ["v4.channel.k8s.io"]);
    await client.closed;
    assert.deepEqual(client.status, { metadata: {}, status: "Success" });
  });

  test("v5: input and its end", async () => {
    const client = await open(execPath(["cat"], "stdin=1&stdout=1"));
    const data = Buffer.alloc(200_000, "stdin ");
    client.send(0, data);
    client.send(0, "");
    client.socket.send(Buffer.alloc(0));
    client.send(9, "a channel that nothing reads");
    client.socket.send(Buffer.of(255, 0));
    await client.closed;
    assert.equal(client.text(1), data.toString());
    assert.deepEqual(client.status["status"], "Success");
  });

  test("the client's choice among several protocols; none at all", async () => {
    const client = await open(execPath(["echo", "hi"]), ["v9.channel.k8s.io", "v4.channel.k8s.io"]);
    await client.closed;
    assert.equal(client.socket.protocol, "v4.channel.k8s.io");
    const bare = await open(execPath(["sh", "-c", "echo hi; exit 3"]), []);
    await bare.closed;
    assert.equal(bare.socket.protocol, "");
    assert.equal(bare.text(1), "hi\n");
    assert.match(bare.text(3), /^command terminated with non-zero exit code/);
  });

  test("base64", async () => {
    const path = execPath(["cat"], "stdin=1&stdout=1&tty=0");
    const client = await open(path, ["v4.base64.channel.k8s.io"]);
    client.socket.send(`0${Buffer.from("round trip\n").toString("base64")}`);
    const decoded = () =>
      client.messages
        .filter((each) => each[0] === 0x31)
        .map((each) => Buffer.from(each.subarray(1).toString(), "base64").toString())
        .join("");
    await eventually("the echo", () => decoded() === "round trip\n");
    client.socket.send("0!!!");
    await client.closed;
    const status = client.messages.filter((each) => each[0] === 0x33);
    const text = Buffer.from(String(status[0]?.subarray(1)), "base64").toString();
    assert.match(text, /"reason":"BadRequest".*/);
  });

  test("a terminal and its size", async () => {
    const command = ["sh", "-c", "read -r _; stty size; echo to-stderr >&2; exit 5"];
    const client = await open(execPath(command, "stdin=1&stdout=1&stderr=1&tty=1"));
    client.send(4, '{"Width":0,"Height":0}');
    client.send(4, '{"Width":120,"Height":33}');
    client.send(0, "go\n");
    await client.closed;
    assert.match(client.text(1), /33 120\r\nto-stderr\r\n/);
    assert.equal(client.text(2), "");
    assert.deepEqual(client.status["details"], { causes: [{ reason: "ExitCode", message: "5" }] });
  });

  test("what is no protocol's message ends the session in words", async () => {
    const bad: [string, Buffer][] = [
      ["resize that is no JSON", Buffer.from("\u0004{")],
      ["resize out of range", Buffer.from('\u0004{"Width":-1,"Height":2}')],
      ["a close mark with too much", Buffer.of(255, 0, 0)],
    ];
    for (const [name, message] of bad) {
      const client = await open(execPath(["sleep", "100"], "stdin=1&stdout=1&tty=1"));
      client.socket.send(message);
      await client.closed;
      assert.equal(client.status["reason"], "BadRequest", name);
      assert.equal(client.status["code"], 400, name);
    }
  });

  test("a message beyond the limit closes with 1009", async () => {
    const client = await open(execPath(["sleep", "100"], "stdin=1&stdout=1"));
    client.send(0, Buffer.alloc(5 * 1024 * 1024));
    assert.equal(await client.closed, 1009);
  });

  test("the kubelet's refusal comes on the error channel", async () => {
    const path = `${base}/exec?container=side&command=ls&stdout=1`;
    const client = await open(path);
    await client.closed;
    assert.equal(
      client.status["message"],
      'Internal error occurred: unable to upgrade connection: container not found ("side")',
    );
    assert.equal(client.status["reason"], "InternalError");
    assert.equal(client.status["code"], 500);
  });

  test("a client that leaves ends the program", async () => {
    const client = await open(execPath(["sh", "-c", "echo $$; exec sleep 1000"]));
    const pid = await eventually("the pid", () => Number(client.text(1)) || undefined);
    client.socket.terminate();
    await eventually("the program to end", () => !alive(pid));
  });

  test("a client that does not read holds the program back; nothing is lost", async () => {
    const command = ["sh", "-c", "head -c 20000000 /dev/zero; echo done >&2"];
    const client = await open(execPath(command));
    client.socket.pause();
    await eventually("the program to wait", () => client.bytes(1) < 20_000_000);
    assert.equal(client.text(2), "");
    client.socket.resume();
    await client.closed;
    assert.equal(client.bytes(1), 20_000_000);
    assert.equal(client.text(2), "done\n");
  });

  test("a program that does not read holds the client back", async () => {
    const command = ["sh", "-c", "sleep 0.3; wc -c"];
    const client = await open(execPath(command, "stdin=1&stdout=1"));
    for (let sent = 0; sent < 40; sent++) client.send(0, Buffer.alloc(250_000));
    client.socket.send(Buffer.of(255, 0));
    await client.closed;
    assert.equal(client.text(1).trim(), "10000000");
  });
});

describe("attach over channels", () => {
  test("input and output until the program ends", async () => {
    await streams.start("side", "while read -r line; do echo got $line; done; echo bye >&2", {
      stdin: true,
      stdinOnce: true,
    });
    const client = await open(`${base}/attach?container=side&stdin=1&stdout=1&stderr=1`);
    client.send(0, "hello\n");
    await eventually("the echo", () => client.text(1).includes("got hello"));
    client.socket.send(Buffer.of(255, 0));
    await client.closed;
    assert.equal(client.text(1), "got hello\nbye\n");
    assert.deepEqual(client.status, { metadata: {}, status: "Success" });
  });
});

describe("refusals before the upgrade", () => {
  const table: [string, string, string[], string, number, string | RegExp][] = [
    ["no right", execPath(["ls"]), ["v5.channel.k8s.io"], "mallory", 403, /"mallory" cannot get/],
    [
      "no pod",
      "/api/v1/namespaces/default/pods/none/exec?command=ls&stdout=1",
      ["v5.channel.k8s.io"],
      "admin",
      404,
      'pods "none" not found',
    ],
    [
      "no container",
      `${base}/exec?container=nope&command=ls&stdout=1`,
      ["v5.channel.k8s.io"],
      "admin",
      400,
      "container nope is not valid for pod web",
    ],
    [
      "no node",
      "/api/v1/namespaces/default/pods/floating/attach?stdout=1",
      ["v5.channel.k8s.io"],
      "admin",
      400,
      "pod floating does not have a host assigned",
    ],
    [
      "no stream",
      `${base}/exec?container=main&command=ls`,
      ["v5.channel.k8s.io"],
      "admin",
      400,
      "you must specify at least 1 of stdin, stdout, stderr",
    ],
    ["no protocol", execPath(["ls"]), ["v9.channel.k8s.io"], "admin", 400, /not supported: \[v9/],
    ["no ports", `${base}/portforward`, ["v4.channel.k8s.io"], "admin", 400, /"ports" is required/],
    [
      "a wrong port",
      `${base}/portforward?ports=80,x`,
      ["v4.channel.k8s.io"],
      "admin",
      400,
      /"x" as a port/,
    ],
    ["another path", "/api/v1/pods", ["v4.channel.k8s.io"], "admin", 400, /no upgrade is served/],
    [
      "no encoding",
      "/api/v1/namespaces/d/pods/%zz/exec",
      ["v4.channel.k8s.io"],
      "admin",
      400,
      /%zz/,
    ],
  ];
  for (const [name, path, protocols, as, code, message] of table) {
    test(name, async () => {
      const { code: got, status } = await refusalOf(open(path, protocols, as));
      assert.equal(got, code);
      assert.equal(status["kind"], "Status");
      assert.equal(status["code"], code);
      const text = String(status["message"]);
      if (typeof message === "string") assert.equal(text, message);
      else assert.match(text, message);
    });
  }

  test("other upgrades, and SPDY without a protocol that both know", async () => {
    const ask = (headers: Record<string, string>, path = execPath(["ls"])) =>
      upgrade(server.port, {
        method: "POST",
        path,
        headers: { Connection: "Upgrade", ...headers },
      });
    const other = await ask({ Upgrade: "h2c" });
    assert.equal(other.response.statusCode, 400);
    assert.match(JSON.parse(other.body).message, /^upgrades to "h2c" are not served/);
    const foreign = { Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": "v9.channel.k8s.io" };
    const unknown = await ask(foreign);
    assert.equal(unknown.response.statusCode, 403);
    assert.match(JSON.parse(unknown.body).message, /client supports \[v9.channel.k8s.io\], server/);
    const path = `${base}/exec?container=nope&command=ls&stdout=1`;
    const checked = await ask({ Upgrade: "SPDY/3.1" }, path);
    assert.equal(JSON.parse(checked.body).message, "container nope is not valid for pod web");
    const denied = await ask({ Upgrade: "SPDY/3.1", as: "mallory" }, path);
    assert.match(JSON.parse(denied.body).message, /"mallory" cannot create resource "pods\/exec"/);
  });
});

describe("exec over SPDY", () => {
  async function open(path: string, version = "v4.channel.k8s.io") {
    const headers = {
      ...{ Connection: "Upgrade", Upgrade: "SPDY/3.1" },
      "X-Stream-Protocol-Version": version,
    };
    const { response, socket } = await upgrade(server.port, { method: "POST", path, headers });
    assert.ok(socket);
    assert.equal(response.headers["x-stream-protocol-version"], version);
    return new SpdyClient(socket);
  }

  test("outputs apart, input and its end, the status on the error stream", async () => {
    const command = ["sh", "-c", "cat; echo err >&2; exit 6"];
    const client = await open(execPath(command, "stdin=1&stdout=1&stderr=1"));
    const [error, stdin, stdout, stderr] = ["error", "stdin", "stdout", "stderr"].map((type) =>
      client.openStream({ streamtype: type }),
    ) as [number, number, number, number];
    const data = Buffer.alloc(300_000, "spdy ");
    for (let at = 0; at < data.length; at += 30_000)
      client.send(stdin, data.subarray(at, at + 30_000));
    client.send(stdin, Buffer.alloc(0), true);
    await eventually("the end", () => client.stream(error).ended && client.stream(stdout).ended);
    assert.ok(client.stream(stdout).data.equals(data));
    assert.equal(client.stream(stderr).data.toString(), "err\n");
    const status = JSON.parse(client.stream(error).data.toString());
    assert.deepEqual(status.details.causes, [{ reason: "ExitCode", message: "6" }]);
    await eventually("the close", () => client.closed);
  });

  test("before v4 the error stream has words", async () => {
    const client = await open(execPath(["false"], "stdout=1"), "v2.channel.k8s.io");
    const error = client.openStream({ streamtype: "error" });
    client.openStream({ streamtype: "stdout" });
    assert.equal(client.stream(client.openStream({ streamtype: "stdin" })).reset, false);
    await eventually("the end", () => client.stream(error).ended);
    assert.match(
      client.stream(error).data.toString(),
      /^command terminated with non-zero exit code/,
    );
  });

  test("the kubelet's refusal, and what is no SPDY", async () => {
    const refused = await open(
      `${base}/exec?container=solo&command=ls&stdout=1`.replace("solo", "setup"),
    );
    const error = refused.openStream({ streamtype: "error" });
    refused.openStream({ streamtype: "stdout" });
    await eventually("the end", () => refused.stream(error).ended);
    assert.match(refused.stream(error).data.toString(), /container not found/);
    const hostile = await open(execPath(["sleep", "100"]));
    hostile.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    await eventually("the close", () => hostile.closed);
  });
});

describe("port-forward", () => {
  let echo: Server;
  let port: number;
  before(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, podAddress, resolve));
    port = (echo.address() as { port: number }).port;
  });
  after(() => echo.close());

  test("channels: the port first, data both ways, errors apart", async () => {
    const client = await open(`${base}/portforward?ports=${port}&ports=1`, ["v4.channel.k8s.io"]);
    const head = (wanted: number) => [wanted & 0xff, wanted >> 8];
    const raw = (channel: number) =>
      Buffer.concat(client.messages.filter((m) => m[0] === channel).map((m) => m.subarray(1)));
    client.send(0, "ping");
    await eventually("the echo", () => raw(0).subarray(2).toString() === "ping");
    await eventually("the refusal", () => raw(3).length > 2);
    assert.deepEqual([...raw(0).subarray(0, 2)], head(port));
    assert.deepEqual([...raw(1)], head(port));
    assert.deepEqual([...raw(2)], head(1));
    assert.match(
      raw(3).subarray(2).toString(),
      /^error forwarding port 1 to pod web, uid [0-9a-f-]+: failed to connect to 127\.64\.9\.77:1/,
    );
    client.socket.close();
    assert.equal(await client.closed, 1005);
  });

  test("tunnel: replies, data, half-close, several at a time, pings", async () => {
    const client = await TunnelClient.open(server.port, `${base}/portforward`);
    assert.equal(client.protocol, "SPDY/3.1+portforward.k8s.io");
    const pairs = ["0", "1", "2"].map((id) => client.connect(port, id));
    const data = Buffer.alloc(700_000, "tunnel");
    for (const pair of pairs) {
      for (let at = 0; at < data.length; at += 30_000) {
        client.send(pair.data, data.subarray(at, at + 30_000));
      }
      client.send(pair.data, Buffer.alloc(0), true);
    }
    client.ping(7);
    for (const pair of pairs) {
      await eventually("the end of both streams", () => {
        return client.stream(pair.data).ended && client.stream(pair.error).ended;
      });
      assert.ok(client.stream(pair.data).data.equals(data));
      assert.equal(client.stream(pair.error).data.length, 0);
      assert.ok(client.stream(pair.data).replied && client.stream(pair.error).replied);
    }
    assert.equal(client.pongs, 1);
    client.close();
  });

  test("tunnel: an error is told on the error stream, and the tunnel goes on", async () => {
    const client = await TunnelClient.open(server.port, `${base}/portforward`);
    const broken = client.connect(1, "0");
    await eventually("the error", () => client.stream(broken.error).ended);
    assert.match(
      client.stream(broken.error).data.toString(),
      /^error forwarding port 1 to pod web/,
    );
    const good = client.connect(port, "1");
    client.send(good.data, Buffer.from("still"));
    await eventually("the echo", () => client.stream(good.data).data.toString() === "still");
    client.close();
  });

  test("tunnel: a reset drops the connection and ends the error stream", async () => {
    const client = await TunnelClient.open(server.port, `${base}/portforward`);
    const connections = () =>
      new Promise<number>((resolve) => echo.getConnections((_, count) => resolve(count)));
    const pair = client.connect(port, "0");
    client.send(pair.data, Buffer.from("x"));
    await eventually("the echo", () => client.stream(pair.data).data.length === 1);
    assert.ok((await connections()) >= 1);
    client.reset(pair.data);
    await eventually("the end", () => client.stream(pair.error).ended);
    client.close();
    await eventually("no connection to be left", async () => (await connections()) === 0);
  });

  test("tunnel: streams without their headers are refused", async () => {
    const client = await TunnelClient.open(server.port, `${base}/portforward`);
    const bad = [
      client.openStream({ streamtype: "data", requestid: "1" }),
      client.openStream({ streamtype: "stdin", port: "80", requestid: "1" }),
      client.openStream({ streamtype: "data", port: "70000", requestid: "1" }),
    ];
    for (const id of bad) await eventually("the reset", () => client.stream(id).reset);
    client.close();
  });

  test("tunnel: what is not SPDY closes it in words", async () => {
    const client = await TunnelClient.open(server.port, `${base}/portforward`);
    client.write(Buffer.from("GET / HTTP/1.1\r\nHost: nobody\r\n\r\n"));
    await eventually("the close", () => client.closed);
    assert.equal(client.closeCode, 1002);
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
