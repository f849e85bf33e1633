/** The consensus core: see {@link Raft} for its use and {@link Ready} for the driver's duties. */
export {
  isWellFormed,
  joinMemberships,
} from "./membership.ts";
export { draft } from "./message.ts";
export { Raft } from "./raft.ts";
export * from "./types.ts";
