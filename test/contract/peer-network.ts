import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MemberId, Peer, PeerHandlers, PeerNetwork } from "../../ha/runtime/types.ts";

/** A member's network, started, with no peers yet. */
export interface PeerNode {
  readonly id: MemberId;
  readonly network: PeerNetwork;
  /** As others should know it; its address is real. */
  readonly peer: Peer;
  /** A next life with the same identity and address, after `network.close`. */
  restart(handlers: PeerHandlers): Promise<PeerNode>;
}

export interface PeerNetworkFixture {
  /** Queue limit of every network: 1 MiB. */
  create(id: number, handlers: PeerHandlers): Promise<PeerNode>;
  /** Lets the world go on until the condition holds; fails when it does not in good time. */
  until(condition: () => boolean): Promise<void>;
  /** Lets some time pass: long enough for several dials. */
  pass(): Promise<void>;
  settle<T>(promise: Promise<T>): Promise<T>;
  dispose(): Promise<void>;
}

export const contractQueueBytes = 1024 * 1024;

/** Remembers everything it is told. */
export class Recorder implements PeerHandlers {
  readonly messages: { from: MemberId; bytes: Uint8Array }[] = [];
  readonly links: string[] = [];
  readonly up = new Set<MemberId>();

  message(from: MemberId, bytes: Uint8Array): void {
    this.messages.push({ from, bytes });
  }

  link(peer: MemberId, up: boolean): void {
    this.links.push(`${peer} ${up ? "up" : "down"}`);
    if (up) this.up.add(peer);
    else this.up.delete(peer);
  }

  texts(): string[] {
    return this.messages.map(({ bytes }) => Buffer.from(bytes).toString());
  }
}

interface Pair {
  readonly fixture: PeerNetworkFixture;
  readonly a: PeerNode;
  readonly b: PeerNode;
  readonly atA: Recorder;
  readonly atB: Recorder;
  readonly linked: () => boolean;
}

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

/** The guarantees of `PeerNetwork` in `ha/runtime/types.ts`, for any implementation. */
export function peerNetworkContract(
  name: string,
  makeFixture: () => Promise<PeerNetworkFixture>,
): void {
  const check = (title: string, body: (pair: Pair) => Promise<void>): void => {
    test(title, async () => {
      const fixture = await makeFixture();
      try {
        const atA = new Recorder();
        const atB = new Recorder();
        const a = await fixture.create(1, atA);
        const b = await fixture.create(2, atB);
        const linked = (): boolean => atA.up.has(b.id) && atB.up.has(a.id);
        await body({ fixture, a, b, atA, atB, linked });
      } finally {
        await fixture.dispose();
      }
    });
  };
  const link = async ({ fixture, a, b, linked }: Pair): Promise<void> => {
    a.network.setPeers([a.peer, b.peer]);
    b.network.setPeers([a.peer, b.peer]);
    await fixture.until(linked);
  };

  describe(`PeerNetwork: ${name}`, () => {
    check("members that pin each other link, each told once", async (pair) => {
      const { a, b, atA, atB } = pair;
      assert.equal(a.network.send(b.id, text("too early")), false);
      await link(pair);
      assert.deepEqual(atA.links, [`${b.id} up`]);
      assert.deepEqual(atB.links, [`${a.id} up`]);
      assert.equal(a.network.send(99 as MemberId, text("nobody")), false);
      assert.equal(a.network.send(a.id, text("myself")), false);
    });

    check("messages arrive whole and in order, both ways", async (pair) => {
      const { a, b, atA, atB, fixture } = pair;
      await link(pair);
      const sizes = Array.from({ length: 300 }, (_, index) => (index * index * 7) % 5_000);
      const message = (index: number): Uint8Array => new Uint8Array(sizes[index]!).fill(index);
      for (let index = 0; index < sizes.length; index++) {
        assert.ok(a.network.send(b.id, message(index)), `a's message ${index}`);
        if (index % 50 === 49) {
          const upTo = index + 1;
          await fixture.until(() => atB.messages.length === upTo);
        }
      }
      for (const { bytes } of atB.messages) assert.ok(b.network.send(a.id, bytes));
      await fixture.until(() => atA.messages.length === sizes.length);
      for (const [index, { from, bytes }] of atA.messages.entries()) {
        assert.equal(from, b.id);
        assert.deepEqual(bytes, message(index), `message ${index}`);
      }
      assert.ok(atB.messages.every(({ from }) => from === a.id));
    });

    check("nobody is linked under a wrong identity", async (pair) => {
      const { a, b, atA, atB, fixture } = pair;
      const stranger = await fixture.create(3, new Recorder());
      a.network.setPeers([{ ...b.peer, identity: stranger.peer.identity }]);
      b.network.setPeers([a.peer]);
      await fixture.pass();
      assert.equal(a.network.send(b.id, text("?")), false);
      assert.equal(b.network.send(a.id, text("?")), false);
      assert.deepEqual([atA.links, atB.links], [[], []]);
    });

    check("a stranger is refused, and hears nothing", async (pair) => {
      const { a, b, atB, fixture, atA } = pair;
      a.network.setPeers([b.peer]);
      await fixture.pass();
      assert.equal(a.network.send(b.id, text("let me in")), false);
      assert.deepEqual([atA.links, atB.links, atB.messages], [[], [], []]);
      // Pinned at last, it is linked without being restarted.
      b.network.setPeers([a.peer]);
      await fixture.until(() => atA.up.has(b.id) && atB.up.has(a.id));
    });

    check("an unpinned peer is cut off, and may come back", async (pair) => {
      const { a, b, atA, atB, fixture, linked } = pair;
      await link(pair);
      b.network.setPeers([]);
      assert.ok(!atB.up.has(a.id));
      assert.equal(b.network.send(a.id, text("?")), false);
      await fixture.until(() => !atA.up.has(b.id));
      await fixture.pass();
      assert.ok(!atA.up.has(b.id));
      b.network.setPeers([a.peer]);
      await fixture.until(linked);
      assert.ok(a.network.send(b.id, text("again")));
      await fixture.until(() => atB.texts().at(-1) === "again");
    });

    check("setPeers with the same peers leaves the link alone", async (pair) => {
      const { a, b, atA, atB, fixture } = pair;
      await link(pair);
      a.network.setPeers([b.peer, a.peer]);
      assert.ok(a.network.send(b.id, text("still here")));
      await fixture.until(() => atB.messages.length === 1);
      assert.deepEqual(atA.links, [`${b.id} up`]);
    });

    check("a peer that closes is noticed, and linked again when it is back", async (pair) => {
      const { a, b, atA, atB, fixture } = pair;
      await link(pair);
      await fixture.settle(b.network.close());
      await fixture.until(() => !atA.up.has(b.id));
      assert.ok(!atB.up.has(a.id));
      assert.equal(a.network.send(b.id, text("gone")), false);
      const atNext = new Recorder();
      const next = await b.restart(atNext);
      next.network.setPeers([a.peer]);
      await fixture.until(() => atA.up.has(b.id) && atNext.up.has(a.id));
      assert.deepEqual(atA.links, [`${b.id} up`, `${b.id} down`, `${b.id} up`]);
      assert.ok(a.network.send(b.id, text("hello again")));
      assert.ok(next.network.send(a.id, text("and to you")));
      await fixture.until(() => atNext.messages.length === 1 && atA.messages.length === 1);
      assert.deepEqual(atNext.texts(), ["hello again"]);
      assert.deepEqual(atB.messages, []);
    });

    check("the queue is bounded: what does not fit is refused, the rest arrives", async (pair) => {
      const { a, b, atB, fixture } = pair;
      await link(pair);
      const accepted: number[] = [];
      for (let index = 0; index < 40; index++) {
        if (a.network.send(b.id, new Uint8Array(64 * 1024).fill(index))) accepted.push(index);
      }
      assert.ok(accepted.length >= 8 && accepted.length <= 16, `${accepted.length} accepted`);
      await fixture.until(() => atB.messages.length === accepted.length);
      assert.deepEqual(
        atB.messages.map(({ bytes }) => bytes[0]),
        accepted,
      );
      assert.ok(a.network.send(b.id, text("room again")));
      await fixture.until(() => atB.texts().at(-1) === "room again");
    });

    check("close is idempotent, silences the handlers and refuses to send", async (pair) => {
      const { a, b, atA, fixture } = pair;
      await link(pair);
      await fixture.settle(Promise.all([a.network.close(), a.network.close()]));
      const told = atA.links.length;
      assert.equal(a.network.send(b.id, text("?")), false);
      b.network.send(a.id, text("?"));
      a.network.setPeers([b.peer]);
      await fixture.pass();
      assert.equal(atA.links.length, told);
      assert.ok(!atA.up.has(b.id));
      assert.deepEqual(atA.messages, []);
    });
  });
}
