export { Cycle, StateKey } from "./cycle.ts";
export { Framework, type PluginRefusal } from "./framework.ts";
export { normalizeFewest, normalizeHighest } from "./normalize.ts";
export * from "./types.ts";
