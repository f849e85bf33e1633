/** Compacts the history from time to time, while everybody else is at work. */
import { Caller } from "./caller.ts";
import { between } from "./chance.ts";

export class Compactor extends Caller {
  compactions = 0;

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 200, 1_500));
    const read = await this.ask((store) => store.readRevision());
    if (read?.kind !== "done") return;
    const revision = read.value - between(this.chance, 0, 150);
    if (revision < 2) return;
    const answer = await this.ask((store) => store.compact(revision as typeof read.value));
    if (answer?.kind === "done") this.compactions++;
  }
}
