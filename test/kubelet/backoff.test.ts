import assert from "node:assert/strict";
import { test } from "node:test";
import { RestartBackoff } from "../../services/kubelet/pod/backoff.ts";

const now = Date.UTC(2026, 0, 1);

test("a restart backs off from the container's end", () => {
  const backoff = new RestartBackoff();
  assert.equal(backoff.remaining("web", now, now), 0, "the first restart is immediate");
  backoff.next("web", now);
  assert.equal(backoff.remaining("web", now + 3_000, now + 4_000), 9_000);
  assert.equal(backoff.remaining("web", now + 3_000, now + 13_000), 0);
});

test("a container whose end is unknown backs off from its last restart", () => {
  const backoff = new RestartBackoff();
  assert.equal(backoff.remaining("web", undefined, now), 0, "it was never restarted");
  backoff.next("web", now);
  assert.equal(backoff.remaining("web", undefined, now + 4_000), 6_000);
  assert.equal(backoff.remaining("web", undefined, now + 10_000), 0);
  backoff.next("web", now + 10_000);
  assert.equal(backoff.remaining("web", undefined, now + 11_000), 19_000, "the wait doubles");
});
