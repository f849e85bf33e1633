/**
 * When to ask etcd how far a watch has come. etcd does not tell of each revision that has nothing
 * for a watch; it answers progress requests, except while the watch is catching up. So one is sent
 * when the store is known to be ahead of the watch, one at a time, and again if no answer comes.
 */
import { externalLimits } from "./limits.ts";

export interface ProgressOwner {
  /** Everything up to here has been delivered; undefined: the watch has not begun. */
  delivered(): number | undefined;
  /** Sends a progress request, if it can be sent now. */
  send(): void;
}

export class Progress {
  private readonly owner: ProgressOwner;
  private wanted = 0;
  /** Sends a request, or repeats the one that is under way. */
  private timer: NodeJS.Timeout | undefined;
  private asking = false;

  constructor(owner: ProgressOwner) {
    this.owner = owner;
  }

  /** `soon`: a caller waits for the revision; otherwise an event of the watch may come first. */
  want(revision: number, soon: boolean): void {
    this.wanted = Math.max(this.wanted, revision);
    if (this.asking || !this.isBehind()) return;
    if (soon) this.ask();
    else this.timer ??= setTimeout(() => this.ask(), externalLimits.progressDelayMillis);
  }

  /** Asks now if the watch is behind. */
  ask(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.asking = this.isBehind();
    if (!this.asking) return;
    this.owner.send();
    this.timer = setTimeout(() => this.ask(), externalLimits.progressRepeatMillis);
  }

  /** Events have come: they may have been all there was to wait for. */
  advanced(): void {
    if (!this.isBehind()) this.stop();
  }

  /** A request has been answered; what has become known since then needs another. */
  answered(): void {
    this.stop();
    // After the answer has been taken into account.
    queueMicrotask(() => this.ask());
  }

  /** The stream is a new one, of which nothing has been asked. */
  restart(): void {
    this.ask();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.asking = false;
  }

  private isBehind(): boolean {
    const delivered = this.owner.delivered();
    return delivered !== undefined && delivered < this.wanted;
  }
}
