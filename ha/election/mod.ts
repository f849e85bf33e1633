export { runElection } from "./election.ts";
export {
  type RunElectionOptions,
  validateElectionOptions,
} from "./options.ts";
export type { FencingToken, LeaseClient } from "./types.ts";
