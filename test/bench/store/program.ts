import { locate } from "../../foreign/needs.ts";

/** Where the program is. Throws with a word on how to get it. */
export function program(name: string): string {
  const path = locate(name);
  if (path !== undefined) return path;
  throw new Error(`${name} is not on PATH; PATH="$(bash .ci/foreign.sh):$PATH" brings it`);
}
