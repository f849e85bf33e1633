/** What of a seeded generator the simulation's own decisions need. */
export interface Chance {
  below(limit: number): number;
}

export function randomChoice<T>(chance: Chance, items: readonly T[]): T {
  return items[chance.below(items.length)] as T;
}
