export type { LinkOptions, NetworkOptions } from "./network-options.ts";
export { SeededRandom } from "./seeded-random.ts";
export { type SimulatedRuntime, World, type WorldOptions } from "./world.ts";
