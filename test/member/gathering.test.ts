import assert from "node:assert/strict";
import { test } from "node:test";
import { Gathering } from "../../ha/member/gathering.ts";

/** A crowd of so many has been seen. */
function crowdOf(size: number): Gathering {
  const gathering = new Gathering();
  gathering.readiness(size, size, false, 0);
  gathering.gone();
  return gathering;
}

test("few callers never wait, whatever is under way", () => {
  const gathering = crowdOf(15);
  for (let waiting = 1; waiting < 15; waiting++) {
    assert.equal(gathering.readiness(waiting, 15, true, 0), "go");
    gathering.gone();
  }
});

test("a crowd waits for the proposal under way, but not for long", () => {
  const gathering = crowdOf(100);
  assert.equal(gathering.readiness(10, 100, true, 50), "hold");
  assert.equal(gathering.readiness(60, 100, true, 52), "hold");
  assert.equal(gathering.readiness(60, 100, true, 53), "go");
});

test("a crowd that was answered is looked for, and goes when it is there", () => {
  const gathering = crowdOf(100);
  assert.equal(gathering.readiness(10, 10, false, 0), "look");
  assert.equal(gathering.readiness(94, 94, false, 0), "look");
  assert.equal(gathering.readiness(95, 95, false, 0), "go");
});

test("whoever does not come back is waited for a few turns, and forgotten after a few proposals", () => {
  const gathering = crowdOf(100);
  const looks: number[] = [];
  for (let proposal = 0; proposal < 6; proposal++) {
    let turns = 0;
    while (gathering.readiness(20, 20, false, 0) === "look") turns++;
    looks.push(turns);
    gathering.gone();
  }
  assert.deepEqual(looks, [64, 64, 64, 0, 0, 0]);
});
