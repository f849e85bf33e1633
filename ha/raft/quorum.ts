/**
 * The algebra of majorities, alone and joint; imports nothing and knows no messages.
 *
 * An empty set agrees to everything at once. So the outgoing half of a membership that is not in a
 * joint phase never stands in the way, and no case distinction is needed
 * (Ongaro 2014, section 4.3).
 */

export type VoteOutcome = "won" | "lost" | "pending";

/** How many of `size` members are a majority. */
export function majoritySize(size: number): number {
  return Math.floor(size / 2) + 1;
}

/**
 * The largest value that a majority of the first `count` numbers has reached. Sorts those in place
 * (a handful of numbers: insertion beats any call). Infinity for an empty set.
 */
export function majorityReached(values: number[], count: number): number {
  if (count === 0) return Number.POSITIVE_INFINITY;
  for (let sorted = 1; sorted < count; sorted++) {
    const value = values[sorted] as number;
    let slot = sorted - 1;
    while (slot >= 0 && (values[slot] as number) > value) {
      values[slot + 1] = values[slot] as number;
      slot--;
    }
    values[slot + 1] = value;
  }
  return values[count - majoritySize(count)] as number;
}

/** The highest value that both majorities of a joint membership have reached; sorts in place. */
export function jointReached(voters: number[], outgoing: number[]): number {
  return Math.min(
    majorityReached(voters, voters.length),
    majorityReached(outgoing, outgoing.length),
  );
}

/** The state of a ballot among `voters`; votes of others are not counted. */
export function majorityVote(
  voters: readonly number[],
  votes: ReadonlyMap<number, boolean>,
): VoteOutcome {
  if (voters.length === 0) return "won";
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  const needed = majoritySize(voters.length);
  if (granted >= needed) return "won";
  return voters.length - refused < needed ? "lost" : "pending";
}

/** A joint ballot is won in both halves, and lost in either. */
export function jointVote(
  voters: readonly number[],
  outgoing: readonly number[],
  votes: ReadonlyMap<number, boolean>,
): VoteOutcome {
  const incoming = majorityVote(voters, votes);
  const leaving = majorityVote(outgoing, votes);
  if (incoming === leaving) return incoming;
  return incoming === "lost" || leaving === "lost" ? "lost" : "pending";
}
