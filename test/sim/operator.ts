/** An operator who exchanges members while everybody is at work: add, promote, remove. */
import { Caller } from "./caller.ts";
import { between, randomChoice } from "./chance.ts";
import type { Seat } from "./cluster.ts";

/** Members added in one run at most. */
const additionsMax = 3;
const attemptsMax = 6;

export class Operator extends Caller {
  changes = 0;
  #added = 0;

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 300, 1_500));
    if (this.#added >= additionsMax) return;
    this.#added++;
    const seat = this.cluster.newSeat();
    const { id, identity, addresses } = seat.peer;
    const peerUrls = [`http://${addresses[0]}?p2p=${identity}`];
    // Refused, or lost on the way: a seat that is no member in the end is retired.
    await this.#insist((asked) => asked.memberAdd({ peerUrls, learner: true }), 1);
    this.cluster.start(seat);
    await this.pause(between(this.chance, 200, 1_000));
    await this.#insist((asked) => asked.memberPromote(id), attemptsMax);
    await this.#remove();
  }

  /** Removes a member, one that is down for good before any other. */
  async #remove(): Promise<void> {
    const members = this.cluster.leader?.member?.raftStatus.membership;
    if (!members || members.voters.length < 4) return;
    const voters = this.cluster.seats.filter(({ peer }) => members.voters.includes(peer.id));
    const lost = voters.filter((seat) => seat.refused);
    const leaving = randomChoice(this.chance, lost.length > 0 ? lost : voters);
    const { id } = leaving.peer;
    const answer = await this.#insist((asked) => asked.memberRemove(id), 1);
    if (answer === "done") this.cluster.retire(leaving);
  }

  async #insist(
    change: (admin: NonNullable<Seat["store"]>["admin"]) => Promise<unknown>,
    attempts: number,
  ): Promise<"done" | "failed"> {
    for (let i = 0; i < attempts && !this.stopped; i++) {
      const seat = randomChoice(this.chance, this.cluster.seats);
      const { store } = seat;
      if (store) {
        const answer = await this.askOf(seat, store, () => change(store.admin));
        if (answer.kind === "done") {
          this.changes++;
          return "done";
        }
      }
      await this.pause(between(this.chance, 50, 500));
    }
    return "failed";
  }
}
