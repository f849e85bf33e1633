/** What a handler keeps with the headers of a call, for those that come with the same ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { dial, start, useEngine } from "./harness.ts";

useEngine("trireme");

test("calls of one connection with the same headers share a note", async () => {
  const notes: unknown[] = [];
  const { address } = await start({
    say: async (request, context) => {
      notes.push(context.note);
      context.note = request.toString();
      return request;
    },
  });
  const [one, other] = [dial(address), dial(address)];
  const labelled = new Metadata();
  labelled.set("a", "b");
  // Without a deadline, by which the headers would differ each time.
  const say = (client: typeof one, word: string, headers = new Metadata()) =>
    new Promise<void>((resolve, reject) => {
      const done = (error: Error | null) => (error === null ? resolve() : reject(error));
      client.say(Buffer.from(word), headers, {}, done);
    });
  // Headers are compressed by what came before: they come the same after the first time, and are
  // remembered when they do.
  for (const word of ["1", "2", "3", "4"]) await say(one, word);
  for (const word of ["5", "6", "7", "8"]) await say(one, word, labelled);
  await say(other, "9");
  const learning = [undefined, undefined, undefined];
  assert.deepEqual(notes.slice(0, 8), [...learning, "3", ...learning, "7"]);
  assert.equal(notes[8], undefined, "another connection");
});

test("names of fields are found by how they begin", async () => {
  const found: unknown[] = [];
  const { address } = await start({
    say: async (request, context) => {
      found.push(["x-", "x-a", "y"].map((prefix) => context.namesWith(prefix)));
      return request;
    },
  });
  const metadata = new Metadata();
  for (const name of ["x-a", "x-b", "z"]) metadata.set(name, "1");
  await new Promise((resolve) => dial(address).say(Buffer.alloc(0), metadata, {}, resolve));
  assert.deepEqual(found, [[["x-a", "x-b"], ["x-a"], []]]);
});
