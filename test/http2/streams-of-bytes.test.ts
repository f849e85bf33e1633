/** The byte stream cut anywhere, and the byte stream damaged. Seeds are printed with failures. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, encodeHeaders } from "../../ha/http2/mod.ts";
import { exchange, Recorder, seeded } from "./wire.ts";

const head = (path: string, ...more: string[]) =>
  encodeHeaders([":method", "POST", ":scheme", "http", ":path", path, ...more]);
const ok = encodeHeaders([":status", "200", "content-type", "application/grpc"]);
const tail = encodeHeaders(["grpc-status", "0"]);

/** Every byte that a client, and a server, sent in a conversation with something of everything. */
function conversation(): { fromClient: Buffer; fromServer: Buffer } {
  const fromClient: Buffer[] = [];
  const fromServer: Buffer[] = [];
  const atServer = new Recorder();
  const atClient = new Recorder();
  const client = new Connection("client", atClient);
  const far = new Connection("server", atServer);
  atClient.connection = client;
  atServer.connection = far;
  const carry = () => {
    for (;;) {
      const sent = client.takeOutput();
      const answered = far.takeOutput();
      if (sent.length + answered.length === 0) return;
      fromClient.push(...sent);
      fromServer.push(...answered);
      for (const chunk of sent) far.receive(chunk);
      for (const chunk of answered) client.receive(chunk);
    }
  };
  for (let n = 0; n < 6; n++) {
    const stream = client.request(head(`/p/${n % 2}`, "long", "v".repeat(n * 4_000)), false)!;
    client.data(stream, Buffer.alloc(n * 9_000, n), n % 2 === 0);
    if (n % 2 === 1) client.trailers(stream, encodeHeaders(["end", "yes"]));
    if (n === 4) client.reset(stream, 8);
    carry();
    const asked = atServer.streams.get(stream.id);
    if (asked !== undefined) far.reply(asked, ok, Buffer.alloc(n * 5_000, 0x61), tail);
    client.ping(() => {});
    carry();
  }
  far.shutdown();
  carry();
  return { fromClient: Buffer.concat(fromClient), fromServer: Buffer.concat(fromServer) };
}

const { fromClient, fromServer } = conversation();

/** What a fresh server makes of the bytes, in these pieces. */
function heard(bytes: Buffer, cut: () => number): readonly unknown[] {
  const recorder = new Recorder();
  const connection = new Connection("server", recorder);
  recorder.connection = connection;
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + Math.max(1, cut()));
    connection.receive(Buffer.from(bytes.subarray(at, end)));
    at = end;
  }
  const bodies = [...recorder.bodies].map(([id, body]) => [id, body.toString("latin1")]);
  return [recorder.events, bodies];
}

test("any split of the byte stream gives the same events", () => {
  const whole = heard(fromClient, () => fromClient.length);
  assert.ok((whole[0] as string[]).length >= 12);
  assert.deepEqual(
    heard(fromClient, () => 1),
    whole,
  );
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed);
    const most = 2 ** (1 + Math.floor(random() * 15));
    assert.deepEqual(
      heard(fromClient, () => Math.floor(random() * most)),
      whole,
      `seed ${seed}`,
    );
  }
});

test("a damaged byte stream is answered or ends the connection; nothing is thrown or hoarded", () => {
  const first = Number(process.env["SEED"] ?? 1);
  const rounds = process.env["SEED"] === undefined ? 1_500 : 1;
  let died = 0;
  for (let seed = first; seed < first + rounds; seed++) {
    const random = seeded(seed);
    const role = seed % 3 === 0 ? "client" : "server";
    const recorder = new Recorder();
    recorder.consumes = random() < 0.5;
    const connection = new Connection(role, recorder);
    recorder.connection = connection;
    if (role === "client") for (let n = 0; n < 6; n++) connection.request(head("/"), false);
    const bytes = damaged(role === "client" ? fromServer : fromClient, random);
    const before = process.memoryUsage().arrayBuffers;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + Math.floor(random() * 20_000));
      connection.receive(bytes.subarray(at, end));
      for (const stream of recorder.streams.values()) {
        // An owner who answers whatever is left, as a careless one would.
        if (role === "server" && random() < 0.3 && !stream.closed && !stream.localClosed) {
          connection.reply(stream, ok, Buffer.from("answer"), tail);
        }
      }
      connection.takeOutput();
      at = end;
    }
    connection.tick();
    assert.ok(connection.outputBytes < 1_000_000, `seed ${seed}: output`);
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 64 * 1024 * 1024, `seed ${seed}: ${grown} bytes`);
    connection.disconnected();
    assert.equal(connection.openStreams, 0, `seed ${seed}: streams`);
    const closes = recorder.events.filter((event) => event.startsWith("close"));
    assert.equal(closes.length, 1, `seed ${seed}: closed ${closes.length} times`);
    if (closes[0] !== "close ") died++;
  }
  if (rounds > 1) assert.ok(died > rounds / 4, `only ${died} of ${rounds} were found out`);
});

/** Some bytes changed, pieces lost, doubled, swapped, or made up. */
function damaged(recorded: Buffer, random: () => number): Buffer {
  let bytes = Buffer.from(recorded);
  const below = (limit: number) => Math.floor(random() * limit);
  // Most damage is done where frames are dense: behind the greeting.
  const place = () => below(random() < 0.5 ? Math.min(400, bytes.length) : bytes.length);
  for (let count = 1 + below(6); count > 0; count--) {
    const at = place();
    const length = below(60);
    switch (below(5)) {
      case 0:
        bytes[at] = below(256);
        break;
      case 1:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 3: {
        const piece = bytes.subarray(at, at + length);
        bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
        break;
      }
      default: {
        const noise = Buffer.from(Array.from({ length }, () => below(256)));
        bytes = Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
      }
    }
  }
  return bytes;
}

test("an owner's own error is not taken for the peer's", () => {
  const recorder = new Recorder();
  const client = new Connection("client", new Recorder());
  const far = new Connection("server", recorder);
  recorder.connection = far;
  exchange(client, far);
  recorder.onHeaders = () => {
    throw new TypeError("a mistake of the owner");
  };
  client.request(head("/"), true);
  const [chunk] = client.takeOutput();
  assert.throws(() => far.receive(chunk!), TypeError);
});
