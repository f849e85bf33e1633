export { defaultNetworkOptions, type LinkOptions, type NetworkOptions } from "./network-options.ts";
export { SeededRandom } from "./seeded-random.ts";
export { type DiskContent, type DiskOptions, defaultDiskOptions } from "./simulated-disk.ts";
export { type SimulatedRuntime, World, type WorldOptions } from "./world.ts";
