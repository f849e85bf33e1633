export { runElection } from "./election.ts";
export {
  type ElectionClock,
  type RunElectionOptions,
  validateElectionOptions,
} from "./options.ts";
export type { ElectionOptions, FencingToken, LeaseClient } from "./types.ts";
