import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { MessageBoundary } from "../../ha/balancer/message-boundary.ts";
import { surplus } from "../../ha/balancer/spread.ts";
import { call, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { EchoClient } from "../rpc/echo.ts";
import { type Cluster, useCluster } from "./fakes.ts";

test("what is given up levels the masters, and no more than that", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 5 }), (streams) => {
      const given = surplus(streams);
      const left = streams.map((count, at) => count - (given[at] ?? 0));
      assert.ok(left.every((count, at) => count >= 0 && (given[at] ?? 0) >= 0));
      // Begun anew, each goes to where there are fewest.
      const moved = given.reduce((sum, count) => sum + count, 0);
      for (let n = 0; n < moved; n++) left[left.indexOf(Math.min(...left))]!++;
      assert.ok(Math.max(...left) - Math.min(...left) <= 1, left.join(" "));
      const level = Math.max(...streams) - Math.min(...streams) <= 1;
      assert.equal(moved === 0, level);
    }),
  );
});

test("the boundary of messages is found wherever the bytes are cut", () => {
  const message = fc.uint8Array({ maxLength: 20 });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(30)), (messages, cuts) => {
      const body = Buffer.concat(
        messages.map((content) => Buffer.concat([Buffer.of(0, 0, 0, 0, content.length), content])),
      );
      const ends = new Set([0]);
      let end = 0;
      for (const content of messages) {
        end += 5 + content.length;
        ends.add(end);
      }
      const boundary = new MessageBoundary();
      let at = 0;
      for (const cut of [...cuts, body.length]) {
        const next = Math.min(body.length, at + cut);
        boundary.pass(body, at, next);
        at = next;
        assert.equal(boundary.reached, ends.has(at));
      }
      const other = new MessageBoundary();
      const within = Math.min(cuts[0] ?? 0, body.length);
      other.pass(body, 0, within);
      const found = other.find(body, within, body.length);
      assert.equal(
        found,
        [...ends].find((each) => each >= within),
      );
    }),
  );
});

const begin = useCluster();
const limits = { spreadMillis: 30 };

/** Watches as an informer does: whenever it ends, once more from what it has. No error is expected. */
class Watcher {
  readonly seen: string[] = [];
  readonly errors: unknown[] = [];
  stopped = false;

  constructor(client: LeasesClient) {
    void this.#run(client);
  }

  async #run(client: LeasesClient): Promise<void> {
    while (!this.stopped) {
      try {
        const resourceVersion = String(this.seen.length);
        for await (const { object } of serverStreamIterable(client, "watch", {
          resourceVersion,
        })) {
          this.seen.push(object?.metadata?.name ?? "");
        }
      } catch (error) {
        this.errors.push(error);
      }
    }
  }
}

function streamsOf({ balancer }: Cluster): readonly number[] {
  return balancer.status().masters.map(({ streams }) => streams);
}

function level(cluster: Cluster, total: number): boolean {
  const streams = streamsOf(cluster);
  const sum = streams.reduce((all, count) => all + count, 0);
  return sum === total && Math.max(...streams) - Math.min(...streams) <= 1;
}

describe("streams are spread", () => {
  for (const victim of [0, 1, 2]) {
    test(`evenly again when master-${victim} returns, and no client notices`, async () => {
      const cluster = await begin({ limits });
      for (const master of cluster.masters) {
        master.watch = async function* ({ signal }) {
          while (!signal.aborted) {
            yield { type: "MODIFIED", object: { metadata: { name: "x".repeat(300) } } };
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
        };
      }
      const watchers = Array.from({ length: 31 }, () => new Watcher(cluster.client(LeasesClient)));
      await eventually("all are begun", () => level(cluster, 31));
      await cluster.masters[victim]?.kill();
      await eventually("the others have them", () => {
        const streams = streamsOf(cluster);
        return streams[victim] === 0 && Math.min(...streams.toSpliced(victim, 1)) >= 15;
      });
      await cluster.masters[victim]?.start();
      await eventually("all have them", () => level(cluster, 31));
      assert.ok(cluster.balancer.status().moves >= 10, "they were moved");
      for (const watcher of watchers) watcher.stopped = true;
      assert.deepEqual(
        watchers.flatMap(({ errors }) => errors),
        [],
      );
    });
  }

  test("a master that drains is left, one that joins gets its share", async () => {
    const cluster = await begin({ limits });
    for (const master of cluster.masters) {
      master.watch = async function* ({ signal }) {
        yield { type: "ADDED", object: { metadata: { name: master.name } } };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      };
    }
    const watchers = Array.from({ length: 12 }, () => new Watcher(cluster.client(LeasesClient)));
    await eventually("all are begun", () => level(cluster, 12));
    cluster.masters[1].set({ ready: false });
    await eventually("nobody is with it", () => streamsOf(cluster).join() === "6,0,6");
    cluster.masters[1].set({ ready: true });
    await eventually("it has its share", () => level(cluster, 12));
    for (const watcher of watchers) watcher.stopped = true;
  });

  test("what nobody resumes stays where it is", async () => {
    const cluster = await begin({ limits });
    const chats = Array.from({ length: 6 }, () => cluster.client(EchoClient).chat());
    for (const chat of chats) chat.write(Buffer.from("a"));
    await eventually("all are begun", () => level(cluster, 6));
    const ended: unknown[] = [];
    for (const chat of chats) chat.on("error", (error) => ended.push(error)).on("data", () => {});
    cluster.masters[2].set({ ready: false });
    await eventually("two are healthy", () => cluster.healthy() === 2);
    await new Promise((resolve) => setTimeout(resolve, 10 * limits.spreadMillis));
    assert.deepEqual([streamsOf(cluster).join(), ended.length], ["2,2,2", 0]);
    assert.deepEqual(
      await call(cluster.client(EchoClient), "say", Buffer.from("b")),
      Buffer.from("b"),
    );
    for (const chat of chats) chat.cancel();
  });
});
