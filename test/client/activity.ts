/** Counts what servers within this process do, so that `settle` knows when everything is quiet. */
export const activity = {
  /** Calls begun or answered and events sent so far. */
  count: 0,
  /** Servers that are open: with one, answers take several turns of Node's loop. */
  servers: 0,
};
