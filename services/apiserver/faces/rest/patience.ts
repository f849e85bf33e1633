import { rpcLimits } from "../../../../ha/rpc/mod.ts";

/** How long a client may read nothing of a document, and how long it may take for the whole. */
export class Patience {
  readonly #cutOff: () => void;
  readonly #until = performance.now() + rpcLimits.pieceAnswerMillis;
  #timer: NodeJS.Timeout | undefined;

  /** `cutOff`: the client has taken too long. */
  constructor(cutOff: () => void) {
    this.#cutOff = cutOff;
  }

  /** The client has not read what was written. */
  begin(): void {
    const left = Math.max(0, this.#until - performance.now());
    this.#timer = setTimeout(this.#cutOff, Math.min(left, rpcLimits.pieceStalledMillis));
  }

  /** It has, or is gone. Harmless when nothing has begun. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
