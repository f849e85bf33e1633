export { Cycle, StateKey } from "./cycle.ts";
export { Framework, type PluginRefusal } from "./framework.ts";
export { normalizeFewest, normalizeHighest, normalizeRange } from "./normalize.ts";
export { explain } from "./placement.ts";
export * from "./types.ts";
