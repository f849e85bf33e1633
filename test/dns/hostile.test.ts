import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { dnsLimits } from "../../services/dns/limits.ts";
import { encodeName, expandName, parseQuery, ResponseCode } from "../../services/dns/wire.ts";
import { header, query, serve, service, slice, world } from "./world.ts";

const made = world();
made.put(service("web", { clusterIP: "10.96.0.20" }));
made.put(service("many", { clusterIP: "None" }), [
  slice(Array.from({ length: 100 }, (_, i) => ({ addresses: [`10.1.0.${i}`] }))),
]);

function ask(bytes: Buffer, transport: "datagram" | "stream" = "datagram"): Buffer {
  const answer = made.responder.respond(bytes, transport);
  assert.ok(answer instanceof Uint8Array);
  return answer;
}

function why(bytes: Buffer): string {
  const parsed = parseQuery(bytes);
  assert.ok(parsed !== undefined && "why" in parsed);
  return parsed.why;
}

const web = "web.default.svc.cluster.local";
const { formatError, notImplemented, refused } = ResponseCode;

describe("what is no proper question", () => {
  test("is refused with a code, and says why", () => {
    const long = Array.from({ length: 5 }, () => "a".repeat(60)).join(".");
    const cases: [Buffer, number, RegExp][] = [
      [query(long, 1), formatError, /longer than 255 bytes/],
      [query(web, 1, { questions: 0 }), formatError, /0 questions/],
      [query(web, 1, { questions: 2 }), formatError, /2 questions/],
      [query(web, 1, { flags: 0x2900 }), notImplemented, /opcode 5/],
      [query(web, 1, { questionClass: 3 }), refused, /class 3/],
      [query(web, 1).subarray(0, 20), formatError, /beyond the message|ends with/],
      [query(web, 1).subarray(0, -2), formatError, /no type and class/],
      [Buffer.concat([query("", 1).subarray(0, 12), Buffer.of(0xc0, 12, 0, 1, 0, 1)]), 1, /192/],
      [Buffer.concat([query("", 1).subarray(0, 12), Buffer.of(0x40)]), formatError, /64/],
      [Buffer.concat([query(web, 1), Buffer.alloc(5_000)]), formatError, /at most 4096/],
    ];
    for (const [bytes, code, text] of cases) {
      assert.match(why(bytes), text);
      const answer = header(ask(bytes));
      assert.equal(answer.code, code, `${text}`);
      assert.equal(answer.id, 0x1234);
      assert.deepEqual(answer.counts.slice(0, 3), [0, 0, 0]);
    }
  });

  test("is dropped when it is an answer or no message", () => {
    assert.equal(made.responder.respond(query(web, 1, { flags: 0x8180 }), "datagram"), undefined);
    assert.equal(made.responder.respond(Buffer.alloc(11), "datagram"), undefined);
    assert.equal(made.responder.respond(Buffer.alloc(0), "stream"), undefined);
  });

  test("extensions: one OPT record of version 0", () => {
    const twice = Buffer.concat([
      query(web, 1, { opt: 1_232 }),
      query(web, 1, { opt: 9 }).subarray(-11),
    ]);
    twice[11] = 2;
    assert.match(why(twice), /more than one OPT/);
    const newer = query(web, 1, { opt: 1_232 });
    newer[newer.length - 5] = 1;
    assert.match(why(newer), /EDNS version 1/);
    const answer = ask(newer);
    // BADVERS is 16: four bits in the header, the others in the OPT record.
    assert.equal(header(answer).code, 0);
    assert.equal(answer[answer.length - 6], 1);
    const many = query(web, 1);
    many.writeUInt16BE(60_000, 10);
    assert.match(why(many), /60000 records/);
  });

  test("a dot within a label is no dot", () => {
    const bytes = query("webXdefault.svc.cluster.local", 1);
    bytes[16] = 46;
    assert.equal(header(ask(bytes)).code, ResponseCode.nameError);
    const apex = query("xXcluster.local", 1);
    apex[14] = 46;
    const answer = made.responder.respond(apex, "datagram");
    assert.ok(answer instanceof Promise, "a name of another zone");
  });

  test("names that point in circles end", () => {
    const circle = Buffer.from([0xc0, 2, 0xc0, 0, 1, 97, 0xc0, 0]);
    assert.equal(expandName(circle, 0), undefined);
    assert.equal(expandName(circle, 2), undefined);
    assert.equal(expandName(circle, 4), undefined);
    assert.deepEqual(expandName(Buffer.from([1, 98, 0, 1, 97, 0xc0, 0]), 3), encodeName("a.b"));
    assert.throws(() => encodeName("a..b"), RangeError);
    assert.throws(() => encodeName(Array(130).fill("a").join(".")), /at most 255/);
  });

  test("random bytes are answered or dropped, and never more than asked for", () => {
    let seed = 7;
    const random = () => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed / 2 ** 32;
    };
    for (let i = 0; i < 20_000; i++) {
      const bytes = query(i % 2 === 0 ? web : "many.default.svc.cluster.local", 1, { opt: 4_096 });
      const changes = 1 + Math.floor(random() * 4);
      for (let j = 0; j < changes; j++) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
      const cut = random() < 0.3 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
      const answer = made.responder.respond(cut, "datagram");
      if (answer instanceof Uint8Array) assert.ok(answer.length <= dnsLimits.datagramBytesMax);
    }
  });
});

describe("answers that do not fit", () => {
  const name = "many.default.svc.cluster.local";

  test("are cut at whole records, and the client is told", () => {
    const plain = ask(query(name, 1));
    assert.ok(plain.length <= 512 && header(plain).truncated);
    assert.equal(header(plain).counts[1], Math.floor((512 - 12 - name.length - 6) / 16));
    const extended = ask(query(name, 1, { opt: 65_000 }));
    assert.ok(extended.length <= 1_232 && header(extended).truncated);
    assert.equal(header(extended).counts[3], 1);
    const whole = ask(query(name, 1), "stream");
    assert.equal(header(whole).counts[1], 100);
    assert.ok(!header(whole).truncated);
  });

  test("begin with another record each time", () => {
    const first = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const answer = ask(query(name, 1), "stream");
      const at = 12 + name.length + 6;
      first.add(answer.subarray(at + 12, at + 16).join("."));
    }
    assert.equal(first.size, 100);
  });

  test("absence says how long it may be remembered", () => {
    for (const absent of ["absent.default.svc.cluster.local", "default.svc.cluster.local"]) {
      const answer = ask(query(absent, 1));
      assert.deepEqual(header(answer).counts, [1, 0, 1, 0]);
      assert.ok(header(answer).authoritative);
      assert.equal(answer.readUInt32BE(answer.length - 4), dnsLimits.ttlSeconds);
    }
  });
});

describe("over TCP", () => {
  test("several questions at once, a half one, and one too long", async () => {
    const served = await serve(made);
    try {
      const socket = connect(served.port, served.address);
      const framed = (bytes: Buffer) => Buffer.concat([Buffer.of(0, bytes.length), bytes]);
      const two = Buffer.concat([
        framed(query(web, 1, { id: 1 })),
        framed(query(web, 1, { id: 2 })),
      ]);
      let received = Buffer.alloc(0);
      socket.on("data", (piece) => {
        received = Buffer.concat([received, piece]);
      });
      socket.write(two.subarray(0, 50));
      socket.write(two.subarray(50));
      const one = 2 + ask(query(web, 1), "stream").length;
      while (received.length < 2 * one) await once(socket, "data");
      assert.deepEqual([received.readUInt16BE(2), received.readUInt16BE(one + 2)], [1, 2]);
      socket.write(Buffer.of(0xff, 0xff, 0));
      await once(socket, "close");
    } finally {
      served.close();
    }
  });
});
