/**
 * A REST watch is a line of JSON an event. A master that dies leaves a part of one, which its client
 * would have to take for damage: so a line is passed on when it is whole.
 */
import type { Piece } from "./balanced-call.ts";

const lineFeed = 0x0a;

/** Where a body stands between its lines. */
export class LineBoundary {
  /** No line has begun that has not ended. */
  reached = true;

  /** Passes over `bytes[start..end)`. */
  pass(bytes: Buffer, start: number, end: number): void {
    if (end > start) this.reached = bytes[end - 1] === lineFeed;
  }

  /** The first place where no line is under way; `end` when there is none. */
  find(bytes: Buffer, start: number, end: number): number {
    if (this.reached) return start;
    const at = bytes.indexOf(lineFeed, start);
    if (at < 0 || at >= end) return end;
    this.reached = true;
    return at + 1;
  }
}

/** Holds back the last line while it is not whole; one that is too long for that goes on as it comes. */
export class WholeLines {
  readonly #heldMax: number;
  #held: Piece[] = [];
  #heldBytes = 0;

  constructor(heldMax: number) {
    this.#heldMax = heldMax;
  }

  /** What may go on now that `bytes[start..end)` has come. */
  take(bytes: Buffer, start: number, end: number): readonly Piece[] {
    const feed = end > start ? bytes.lastIndexOf(lineFeed, end - 1) : -1;
    const whole = feed < start ? start : feed + 1;
    const released = whole > start ? [...this.rest(), { bytes, start, end: whole }] : [];
    if (whole < end) {
      this.#held.push({ bytes, start: whole, end });
      this.#heldBytes += end - whole;
    }
    if (this.#heldBytes <= this.#heldMax) return released;
    return [...released, ...this.rest()];
  }

  /** The answer has ended: what was held back, which is no line. */
  rest(): readonly Piece[] {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    return held;
  }
}
