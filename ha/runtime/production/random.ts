import { randomBytes, randomInt } from "node:crypto";
import { assert } from "../assert.ts";
import type { Random } from "../types.ts";

/** The operating system's unpredictable numbers. */
export const productionRandom: Random = {
  below(limit: number): number {
    assert(
      Number.isInteger(limit) && limit >= 1 && limit <= 2 ** 32,
      `limit ${limit} is not an integer in 1..2^32`,
    );
    return randomInt(limit);
  },
  bytes: (length: number): Uint8Array => new Uint8Array(randomBytes(length)),
};
