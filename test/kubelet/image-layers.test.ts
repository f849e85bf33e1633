/** Layers of images from strangers: whatever is in them, nothing outside of the image is written. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { LayoutImage } from "../../services/kubelet/runtime/layouts/mod.ts";
import { unpackImage } from "../../services/kubelet/runtime/layouts/unpack.ts";

interface Entry {
  readonly path: string;
  /** As tar writes it: 0 file, 1 link, 2 symlink, 5 directory. */
  readonly type: string;
  readonly target?: string;
  readonly body?: string;
  /** What the header says in place of the body's own size. */
  readonly size?: number;
}

function tarOf(entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap(({ path, type, target = "", body = "", size }) => {
    const head = Buffer.alloc(512);
    const octal = (value: number, at: number, length: number) =>
      head.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
    head.write(path.slice(0, 100), 0);
    octal(0o755, 100, 8);
    octal(0, 108, 8);
    octal(0, 116, 8);
    octal(size ?? Buffer.byteLength(body), 124, 12);
    octal(0, 136, 12);
    head.write(type, 156, "latin1");
    head.write(target.slice(0, 100), 157);
    head.write("        ", 148, "latin1");
    octal(
      head.reduce((sum, byte) => sum + byte, 0),
      148,
      7,
    );
    const content = Buffer.alloc(Math.ceil(Buffer.byteLength(body) / 512) * 512);
    content.write(body);
    return [head, content];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function imageOf(...layers: readonly Buffer[]): LayoutImage {
  const blob = (at: number) => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    ...{ digest: String(at), size: 0 },
  });
  return {
    ...{ names: [], manifest: blob(0), config: blob(0), configuration: {} },
    layers: layers.map((_, at) => blob(at)),
    async *read({ digest }) {
      const bytes = layers[Number(digest)] ?? Buffer.alloc(0);
      // Pieces that begin and end anywhere, as a socket or a file gives them.
      for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700);
    },
  };
}

/** The same numbers for the same seed (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

describe("the layers of an image", () => {
  const world = mkdtempSync(join(tmpdir(), "trireme-layers-"));
  after(() => rmSync(world, { recursive: true, force: true }));
  const outside = join(world, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "kept");
  let count = 0;

  /** Resolves to the problem; undefined: it was unpacked. The world around stays as it is. */
  async function unpack(...layers: readonly Buffer[]): Promise<StatusError | undefined> {
    const root = join(world, `root-${count++}`);
    let problem: unknown;
    try {
      await unpackImage(imageOf(...layers), root, false);
    } catch (error) {
      problem = error;
    }
    assert.deepEqual(readdirSync(outside), ["precious"]);
    assert.equal(readFileSync(join(outside, "precious"), "utf8"), "kept");
    const around = readdirSync(world).filter((name) => !name.startsWith("root-"));
    assert.deepEqual(around, ["outside"]);
    rmSync(root, { recursive: true, force: true });
    if (problem === undefined || problem instanceof StatusError) return problem;
    throw problem;
  }

  const rows: readonly [string, readonly Entry[]][] = [
    ["a path that leads out", [{ path: "../outside/new", type: "0", body: "x" }]],
    [
      "a path below a link that leads out",
      [
        { path: "way", type: "2", target: "../outside" },
        { path: "way/precious", type: "0", body: "x" },
      ],
    ],
    [
      "an absolute link",
      [
        { path: "way", type: "2", target: outside },
        { path: "way/precious", type: "0", body: "x" },
      ],
    ],
    [
      "a hard link to what is outside",
      [
        { path: "own", type: "1", target: "../outside/precious" },
        { path: "own", type: "0", body: "x" },
      ],
    ],
    [
      "a hard link by a link",
      [
        { path: "way", type: "2", target: "../outside" },
        { path: "own", type: "1", target: "way/precious" },
        { path: "own", type: "0", body: "x" },
      ],
    ],
    [
      "a whiteout by a link",
      [
        { path: "way", type: "2", target: "../outside" },
        { path: "way/.wh.precious", type: "0" },
        { path: "way/.wh..wh..opq", type: "0" },
      ],
    ],
    ["a whiteout of the folder above", [{ path: ".wh...", type: "0" }]],
    [
      "links in a circle",
      [
        { path: "a", type: "2", target: "b" },
        { path: "b", type: "2", target: "a" },
        { path: "a/x", type: "0", body: "x" },
      ],
    ],
    ["a file that says to be larger than it is", [{ path: "f", type: "0", size: 8 ** 11 - 1 }]],
  ];
  for (const [name, entries] of rows) {
    test(`${name} writes nothing outside`, async () => {
      await unpack(tarOf(entries));
    });
  }

  test("is refused when it is no archive, or cut off", async () => {
    const whole = tarOf([{ path: "f", type: "0", body: "x".repeat(600) }]);
    assert.match((await unpack(whole.subarray(0, 900)))?.message ?? "", /cut off/);
    const broken = Buffer.from(whole);
    broken[3] = 0x7f;
    assert.match((await unpack(broken))?.message ?? "", /checksum/);
    assert.match((await unpack(Buffer.alloc(600, 0x41)))?.message ?? "", /no whole tar archive/);
  });

  test("of every seed ends in a tree or in a clear refusal", async (t) => {
    const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
    t.diagnostic(`SEED=${seed}`);
    const next = numbers(seed);
    const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
    const names = [
      "a",
      "b",
      "..",
      ".",
      "",
      ".wh.a",
      ".wh..wh..opq",
      ".wh...",
      "outside",
      "precious",
    ];
    const path = () => Array.from({ length: 1 + next(4) }, () => pick(names)).join("/");
    const targets = () => pick([path(), `/${path()}`, outside, `../outside/${pick(names)}`]);
    const entry = (): Entry => ({
      ...{ path: path(), type: pick("0012225xLg3".split("")), target: targets() },
      body: pick(["", "x", "12 path=a/b\n", "99 size=1", "y".repeat(next(1_500))]),
      ...(next(12) === 0 && { size: next(8 ** 11) }),
    });
    for (let round = 0; round < 400; round++) {
      const layers = Array.from({ length: 1 + next(2) }, () => {
        const bytes = tarOf(Array.from({ length: 1 + next(8) }, entry));
        if (next(3) === 0) bytes[next(bytes.length)] = next(256);
        return next(5) === 0 ? bytes.subarray(0, next(bytes.length)) : bytes;
      });
      await unpack(...layers);
    }
  });
});
