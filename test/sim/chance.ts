/** What of a seeded generator the simulation's own decisions need. */
export interface Chance {
  below(limit: number): number;
}

export function randomChoice<T>(chance: Chance, items: readonly T[]): T {
  return items[chance.below(items.length)] as T;
}

/** A whole number in min..max. */
export function between(chance: Chance, min: number, max: number): number {
  return min + chance.below(max - min + 1);
}
