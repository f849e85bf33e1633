export { Cycle, StateKey } from "./cycle.ts";
export type { Explanation } from "./explain.ts";
export {
  type FoundRoom,
  Framework,
  type FrameworkOptions,
  type PluginRefusal,
} from "./framework.ts";
export { normalizeFewest, normalizeHighest, normalizeRange } from "./normalize.ts";
export { explain, type Unschedulable } from "./placement.ts";
export * from "./types.ts";
