/** What a sample of a server's CPU is counted for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sharesOf, timesBetween } from "./profile.ts";
import { type Frame, stageOf } from "./stages.ts";

const frame = (url: string, functionName = "f"): Frame => ({ url, functionName });
const ours = (path: string, functionName?: string) =>
  frame(`file:///trireme/${path}`, functionName);

test("a sample counts for the innermost frame that is known", () => {
  const library = frame("file:///trireme/node_modules/@bufbuild/protobuf/wire.js");
  const verb = ours("services/apiserver/verbs/create.ts");
  const stored = "services/apiserver/storage/stored-object.ts";
  const cases: readonly (readonly [readonly Frame[], string | undefined])[] = [
    [[frame("", "(idle)")], undefined],
    [[frame("", "(garbage collector)"), verb], "garbage collection, on the thread"],
    [[library, ours("services/apiserver/storage/wire.ts"), verb], "decode"],
    [
      [
        frame("", "stringify"),
        ours("services/apiserver/storage/stored-text.ts", "encodeStored"),
        verb,
      ],
      "encode",
    ],
    [
      [library, ours(stored, "get protobuf"), ours("ha/rpc/handlers.ts")],
      "events: forms for watchers",
    ],
    [[ours("services/kinds/core/pod/defaults.ts"), verb], "defaults"],
    [[ours("services/kinds/core/pod/validation.ts"), verb], "validation"],
    [[frame("", "writev"), frame("node:net"), ours("ha/http2/socket.ts")], "sockets and TLS"],
    [[ours("ha/http2/receiver.ts"), frame("node:net")], "HTTP/2"],
    [[ours("ha/member/worker-store.ts")], "hand-over between threads"],
    [[ours("ha/member/turn-loop.ts")], "proposal and consensus"],
    [[library], "other"],
  ];
  for (const [stack, stage] of cases) assert.equal(stageOf(stack), stage);
});

test("a thread's CPU time is shared out by its samples, and helpers count for themselves", () => {
  const thread = { pid: 7, main: false };
  const before = [
    { pid: 7, name: "master-0", main: true, micros: 1_000 },
    { ...thread, name: "V8Worker", micros: 10 },
  ];
  const after = [
    { pid: 7, name: "master-0", main: true, micros: 5_000 },
    { ...thread, name: "V8Worker", micros: 40 },
    { ...thread, name: "V8Worker", micros: 50 },
    { ...thread, name: "libuv-worker", micros: 20 },
  ];
  const used = timesBetween(before, after);
  const samples = new Map([
    ["decode", 3],
    ["encode", 1],
  ]);
  const profiles = [{ pid: 7, main: true, inWindow: () => samples }];
  const shares = sharesOf({ load: "l", from: 0, to: 1, calls: 10, used }, profiles);
  assert.deepEqual(Object.fromEntries(shares), {
    decode: 300,
    encode: 100,
    "V8's helpers: compiling, collecting": 8,
    "file system and DNS pool": 2,
  });
});
