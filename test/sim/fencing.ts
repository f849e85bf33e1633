/**
 * Would-be leaders with a lease and a fence. Leadership is a key on a lease; taking it makes the
 * fence one higher; a guarded write carries the fence as it was. A deposed leader may go on
 * believing, but nothing that it writes after its successor has begun is applied.
 */

import { Violation } from "../../services/drill/checker/violation.ts";
import { bytes, Caller, text } from "./caller.ts";
import { between } from "./chance.ts";
import type { TrueEvent } from "./truth.ts";

const leaderKey = "/fencing/leader";
const fenceKey = "/fencing/fence";
const guardedKey = "/fencing/guarded";

export class FencedClient extends Caller {
  #operations = 0;

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 50, 400));
    const token = await this.#acquire();
    if (token === undefined) return;
    // Never looks whether its lease is still there: the fence alone must hold.
    const writes = between(this.chance, 1, 40);
    for (let i = 0; i < writes && !this.stopped; i++) {
      await this.pause(between(this.chance, 5, 120));
      const value = `${token} ${this.name}.${++this.#operations}`;
      const answer = await this.ask((store) =>
        store.txn({
          compares: [
            { key: bytes(fenceKey), operator: "=", target: "value", operand: bytes(token) },
          ],
          success: [{ op: "put", key: bytes(guardedKey), value: bytes(value) }],
          failure: [],
        }),
      );
      if (answer?.kind === "done" && !answer.value.succeeded) return;
    }
  }

  /** The token of this leadership, if it became the leader. */
  async #acquire(): Promise<string | undefined> {
    const fence = await this.ask((store) => store.range({ key: bytes(fenceKey) }));
    const granted = await this.ask((store) => store.leaseGrant(0n, 1));
    if (fence?.kind !== "done" || granted?.kind !== "done") return undefined;
    const [known] = fence.value.kvs;
    const token = `${known ? Number.parseInt(text(known.value), 10) + 1 : 1} ${this.name}`;
    const operand = known?.modRevision ?? 0;
    const lease = granted.value.id;
    const answer = await this.ask((store) =>
      store.txn({
        compares: [
          { key: bytes(leaderKey), operator: "=", target: "version", operand: 0 },
          { key: bytes(fenceKey), operator: "=", target: "mod", operand },
        ],
        success: [
          { op: "put", key: bytes(leaderKey), value: bytes(token), lease },
          { op: "put", key: bytes(fenceKey), value: bytes(token) },
        ],
        failure: [],
      }),
    );
    return answer?.kind === "done" && answer.value.succeeded ? token : undefined;
  }
}

/** Whatever is written behind the fence carries the fence of its time. */
export function assertFenced(events: readonly TrueEvent[]): void {
  let fence = "";
  for (const { key, value, revision } of events) {
    if (key === fenceKey) {
      if (Number.parseInt(value, 10) <= Number.parseInt(fence || "0", 10)) {
        throw new Violation(`fencing: the fence went from ${fence} to ${value}`);
      }
      fence = value;
    }
    if (key === guardedKey && !value.startsWith(`${fence} `)) {
      const text = `${value} was written behind fence ${fence} at revision ${revision}`;
      throw new Violation(`fencing: ${text}`);
    }
  }
}
