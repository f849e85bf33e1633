/** The engine between a client and a server: frames passed on, streams renumbered, no more held
 * than one side's windows. What the balancer does, at its smallest. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Connection,
  type ConnectionHandler,
  encodeHeaders,
  type HeaderBlock,
  type Stream,
} from "../../ha/http2/mod.ts";
import { exchange, Recorder } from "./wire.ts";

/** Bytes that the other side has been given and has not passed on yet. */
class Leg implements ConnectionHandler {
  readonly connection: Connection;
  other!: Leg;
  encoded = 0;

  constructor(role: "server" | "client") {
    const limits = { streamWindowBytes: 65_536, connectionWindowBytes: 1024 * 1024 };
    this.connection = new Connection(role, this, { limits });
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    const twin = stream.user as Stream | undefined;
    const bytes = this.#reencoded(block);
    if (twin === undefined) stream.user = this.other.connection.request(bytes, endStream, stream);
    else this.other.connection.headers(twin, bytes, endStream);
    assert.ok(stream.user);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const twin = stream.user as Stream;
    const length = end - start;
    const passed = this.other.connection.data(twin, bytes.subarray(start, end), endStream);
    if (passed) this.connection.consume(stream, length);
  }

  onWritable(stream: Stream): void {
    const twin = stream.user as Stream;
    this.other.connection.consume(twin, twin.unconsumed);
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    this.other.connection.trailers(stream.user as Stream, this.#reencoded(block));
  }

  onReset(stream: Stream, code: number): void {
    this.other.connection.reset(stream.user as Stream, code);
  }

  onGoaway(): void {}
  onClose(): void {}

  #reencoded(block: HeaderBlock): Uint8Array {
    if (block.attachment === undefined) {
      this.encoded++;
      block.attachment = encodeHeaders(block.fields, block.secrets);
    }
    return block.attachment as Uint8Array;
  }
}

test("relays calls both ways, holding no more than a window of each", () => {
  const [front, back] = [new Leg("server"), new Leg("client")];
  front.other = back;
  back.other = front;
  const [atClient, atServer] = [new Recorder(), new Recorder()];
  const client = new Connection("client", atClient);
  const server = new Connection("server", atServer);
  atClient.connection = client;
  atServer.connection = server;
  const settle = () => {
    for (let turn = 0; turn < 20; turn++) {
      exchange(client, front.connection);
      exchange(back.connection, server);
    }
  };
  settle();
  const head = encodeHeaders([":method", "POST", ":scheme", "http", ":path", "/a", "k", "v"]);
  const ok = encodeHeaders([":status", "200"]);
  const tail = encodeHeaders(["grpc-status", "0"]);

  for (let round = 0; round < 50; round++) {
    const stream = client.request(head, false)!;
    client.data(stream, Buffer.from(`call ${round}`), true);
    settle();
    const asked = atServer.streams.get(stream.id)!;
    server.reply(asked, ok, Buffer.from(`answer ${round}`), tail);
    settle();
    assert.equal(String(atServer.bodies.get(stream.id)), `call ${round}`);
    assert.equal(String(atClient.bodies.get(stream.id)?.subarray(5)), `answer ${round}`);
    assert.ok(stream.closed && asked.closed);
  }
  assert.equal(atClient.events.at(-1), "trailers 99 grpc-status|0");
  // Blocks that repeat are encoded anew only until they are known.
  assert.ok(front.encoded <= 3 && back.encoded <= 6, `${front.encoded} and ${back.encoded} blocks`);

  // A server that does not read holds the client back through both connections.
  atServer.consumes = false;
  const slow = client.request(head, false)!;
  client.data(slow, Buffer.alloc(5_000_000), true);
  settle();
  const held = (front.connection.streams[0] as Stream).unconsumed;
  assert.ok(held <= 65_536, `${held} bytes are held`);
  assert.ok(slow.queuedBytes > 4_000_000, `${slow.queuedBytes} bytes wait at the client`);
  client.reset(slow, 8);
  settle();
  assert.equal(atServer.events.at(-1), `reset ${slow.id} code 8 peer`);
  assert.deepEqual([front.connection.openStreams, back.connection.openStreams], [0, 0]);
});
