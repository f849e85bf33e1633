/** Every build that is broken on purpose is caught: what the simulator is worth. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { brokenBuilds, hunt, seedsMax } from "./broken.ts";

for (const build of brokenBuilds) {
  test(`caught: ${build.name}`, async () => {
    const caught = await hunt(build);
    assert.ok(caught, `not caught within ${seedsMax} seeds`);
    assert.match(caught.by, build.by, "caught by what it breaks, not by an accident");
  });
}
