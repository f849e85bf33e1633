import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HeaderBlock } from "../../ha/http2/header-block.ts";
import { HpackDecoder } from "../../ha/http2/hpack-decoder.ts";
import { encodeInteger } from "../../ha/http2/hpack-encoder.ts";
import { huffmanDecode, huffmanEncode, huffmanLength } from "../../ha/http2/huffman.ts";
import { http2Limits } from "../../ha/http2/limits.ts";
import { encodeHeaders } from "../../ha/http2/mod.ts";

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ""), "hex");
const decoder = (changes = {}) => new HpackDecoder({ ...http2Limits, ...changes });
const decode = (target: HpackDecoder, bytes: Buffer) => target.decode(bytes, 0, bytes.length);

/** RFC 7541 appendix C: [block, fields, size of the table after it]. */
type Step = readonly [string, readonly string[], number];

const first = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"];
const second = [...first, "cache-control", "no-cache"];
const third = [
  ...[":method", "GET", ":scheme", "https", ":path", "/index.html"],
  ...[":authority", "www.example.com", "custom-key", "custom-value"],
];
const date21 = "Mon, 21 Oct 2013 20:13:21 GMT";
const date22 = "Mon, 21 Oct 2013 20:13:22 GMT";
const location = ["location", "https://www.example.com"];
const found = [":status", "302", "cache-control", "private", "date", date21, ...location];
const temporary = [":status", "307", "cache-control", "private", "date", date21, ...location];
const cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const fine = [
  ...[":status", "200", "cache-control", "private", "date", date22, ...location],
  ...["content-encoding", "gzip", "set-cookie", cookie],
];

const vectors: Readonly<Record<string, { table?: number; steps: readonly Step[] }>> = {
  "C.2.1 literal with indexing": {
    steps: [
      [
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        ["custom-key", "custom-header"],
        55,
      ],
    ],
  },
  "C.2.2 literal without indexing": {
    steps: [["040c 2f73 616d 706c 652f 7061 7468", [":path", "/sample/path"], 0]],
  },
  "C.2.3 literal never indexed": {
    steps: [["1008 7061 7373 776f 7264 0673 6563 7265 74", ["password", "secret"], 0]],
  },
  "C.2.4 indexed": { steps: [["82", [":method", "GET"], 0]] },
  "C.3 requests without Huffman": {
    steps: [
      ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", first, 57],
      ["8286 84be 5808 6e6f 2d63 6163 6865", second, 110],
      ["8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", third, 164],
    ],
  },
  "C.4 requests with Huffman": {
    steps: [
      ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", first, 57],
      ["8286 84be 5886 a8eb 1064 9cbf", second, 110],
      ["8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", third, 164],
    ],
  },
  "C.5 responses without Huffman, in a table of 256 bytes": {
    table: 256,
    steps: [
      [
        `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d`,
        found,
        222,
      ],
      ["4803 3330 37c1 c0bf", temporary, 222],
      [
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31`,
        fine,
        215,
      ],
    ],
  },
  "C.6 responses with Huffman, in a table of 256 bytes": {
    table: 256,
    steps: [
      [
        `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
        found,
        222,
      ],
      ["4883 640e ffc1 c0bf", temporary, 222],
      [
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
        fine,
        215,
      ],
    ],
  },
};

describe("HPACK decoding, by the vectors of RFC 7541 appendix C", () => {
  for (const [name, { table, steps }] of Object.entries(vectors)) {
    test(name, () => {
      const target = decoder();
      // The size of 256 is told to the decoder as an encoder would.
      const sized = Buffer.alloc(8);
      const length = table === undefined ? 0 : encodeInteger(sized, 0, 0x20, 5, table);
      steps.forEach(([block, fields, tableBytes], index) => {
        const prefix = index === 0 ? sized.subarray(0, length) : Buffer.of();
        const decoded = decode(target, Buffer.concat([prefix, hex(block)]));
        assert.deepEqual(decoded.fields, fields);
        assert.equal(target.tableBytes, tableBytes);
      });
    });
  }

  test("C.1 integers", () => {
    const encoded = (bits: number, value: number) => {
      const bytes = Buffer.alloc(8);
      return bytes.subarray(0, encodeInteger(bytes, 0, 0, bits, value)).toString("hex");
    };
    assert.equal(encoded(5, 10), "0a");
    assert.equal(encoded(5, 1_337), "1f9a0a");
    assert.equal(encoded(8, 42), "2a");
  });
});

describe("HPACK decoding", () => {
  const broken = { name: "ConnectionError", code: 9 };

  test("refuses what is not HPACK", () => {
    const bad: Readonly<Record<string, string>> = {
      "index 0": "80",
      "an index beyond the tables": "be",
      "a string beyond the block": "0085",
      "a literal cut short": "40",
      "an integer without end": "7f",
      "an integer too large": "7fffffffffffff",
      "a table size over the limit": "3fe2ff03",
      "a table size update after a field": "8220",
      "EOS within a string": "0084ffffffff00",
      "padding of zeroes": "00811c81f8",
      "padding of more than seven bits": "00821fff00",
    };
    for (const [what, block] of Object.entries(bad)) {
      assert.throws(() => decode(decoder(), hex(block)), broken, what);
    }
  });

  test("gives the same object for a block seen before, until the table changes", () => {
    const target = decoder();
    const block = hex("828684");
    decode(target, block);
    const remembered = decode(target, block);
    assert.equal(decode(target, Buffer.from(block)), remembered);
    decode(target, hex("400161 0162"));
    const again = decode(target, block);
    assert.notEqual(again, remembered);
    assert.deepEqual(again.fields, remembered.fields);
  });

  test("a block with a table entry is decoded by the table of its time", () => {
    const target = decoder();
    decode(target, hex("400161 0162"));
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(decode(target, hex("be")).fields, ["a", "b"]);
    }
    decode(target, hex("400163 0164"));
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(decode(target, hex("be")).fields, ["c", "d"]);
      assert.deepEqual(decode(target, hex("bf")).fields, ["a", "b"]);
    }
  });

  test("counts a list over the limit without keeping it, and stays in step", () => {
    const target = decoder({ headerListBytes: 100, headerFields: 100 });
    const block = Buffer.concat([hex("400161 1e"), Buffer.alloc(30, 0x78), hex("bebebebebe")]);
    const decoded = decode(target, block);
    assert.equal(decoded.tooLarge, true);
    assert.equal(decoded.size, 6 * 63);
    assert.equal(decoded.fields.length, 2);
    assert.equal(decode(target, hex("be")).fields[0], "a");
    const many = decoder({ headerFields: 3 });
    assert.equal(decode(many, hex("82828282")).tooLarge, true);
  });

  test("a block too long to be kept leaves the table as if it had been decoded", () => {
    const literal = (mark: number, name: string, value: string) =>
      Buffer.concat([
        Buffer.of(mark),
        ...[name, value].map((text) => {
          const length = Buffer.alloc(8);
          return Buffer.concat([
            length.subarray(0, encodeInteger(length, 0, 0, 7, text.length)),
            Buffer.from(text, "latin1"),
          ]);
        }),
      ]);
    const size = fc.oneof(fc.nat(40), fc.nat(20_000), fc.nat(70_000));
    const field = fc.tuple(fc.constantFrom(0x40, 0x00, 0x10), size, size);
    fc.assert(
      fc.property(fc.array(field, { maxLength: 6 }), fc.array(fc.nat(30_000)), (fields, cuts) => {
        const [whole, cut] = [decoder(), decoder()];
        const before = hex("3fe11f 4001610162");
        const bytes = Buffer.concat([
          before,
          ...fields.map(([mark, name, value], n) =>
            literal(mark, String(n).repeat(name), "v".repeat(value)),
          ),
          hex("400163016482"),
        ]);
        decode(whole, bytes);
        const block = new HeaderBlock();
        const reader = cut.overlong(block);
        let at = 0;
        for (const length of cuts) {
          reader.take(bytes.subarray(at, at + length));
          at = Math.min(bytes.length, at + length);
        }
        reader.take(bytes.subarray(at));
        reader.end();
        assert.equal(block.tooLarge, true);
        assert.equal(cut.tableBytes, whole.tableBytes);
        for (let index = 0xbe; (index - 0xbe) * 32 < whole.tableBytes; index++) {
          const asked = Buffer.of(index);
          let expected: readonly string[] | undefined;
          try {
            expected = decode(whole, asked).fields;
          } catch {
            assert.throws(() => decode(cut, asked));
            continue;
          }
          assert.deepEqual(decode(cut, asked).fields, expected);
        }
      }),
      { numRuns: 200 },
    );
    const unfinished = decoder().overlong(new HeaderBlock());
    unfinished.take(hex("40016105"));
    assert.throws(() => unfinished.end(), broken);
    assert.throws(() => decoder().overlong(new HeaderBlock()).take(hex("8220")), broken);
  });

  test("wants the table lowered after a lower limit was acknowledged", () => {
    const target = decoder({ headerTableBytes: 0 });
    decode(target, hex("400161 0162"));
    target.limitAcknowledged();
    assert.throws(() => decode(target, hex("82")), broken);
    const obedient = decoder({ headerTableBytes: 0 });
    obedient.limitAcknowledged();
    assert.deepEqual(decode(obedient, hex("2082")).fields, [":method", "GET"]);
    assert.deepEqual(decode(obedient, hex("82")).fields, [":method", "GET"]);
    assert.equal(obedient.tableBytes, 0);
  });
});

describe("HPACK encoding", () => {
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 200,
  });

  test("Huffman gives back any bytes", () => {
    fc.assert(
      fc.property(text, (value) => {
        const bytes = Buffer.alloc(huffmanLength(value));
        assert.equal(huffmanEncode(value, bytes, 0), bytes.length);
        const target = Buffer.alloc(Math.ceil(bytes.length * 1.6) + 1);
        const length = huffmanDecode(bytes, 0, bytes.length, target);
        assert.equal(target.toString("latin1", 0, length), value);
      }),
    );
  });

  test("a decoder gives back any fields", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { maxLength: 20 }), (pairs) => {
        const fields = pairs.flat();
        assert.deepEqual(decode(decoder(), encodeHeaders(fields) as Buffer).fields, fields);
      }),
    );
  });

  test("marks secrets as never indexed, and a proxy can keep that", () => {
    const block = encodeHeaders(["authorization", "x", "a", "b"]) as Buffer;
    assert.deepEqual(decode(decoder(), block).secrets, ["authorization"]);
    const received = decode(decoder(), hex("1001610162 0001630164"));
    assert.deepEqual(received.secrets, ["a"]);
    const sent = decode(decoder(), encodeHeaders(received.fields, received.secrets) as Buffer);
    assert.deepEqual(sent.secrets, ["a"]);
    assert.deepEqual(sent.fields, ["a", "b", "c", "d"]);
  });
});
