/** How raw points become points in 0..100 (upstream `helper.DefaultNormalizeScore`). */

/** The node with the most points gets 100, the others their share of it. */
export function normalizeHighest(points: Float64Array): void {
  const most = largest(points);
  if (most === 0) return;
  for (let index = 0; index < points.length; index++) {
    points[index] = (100 * (points[index] ?? 0)) / most;
  }
}

/** A node without points gets 100, the one with the most gets 0. */
export function normalizeFewest(points: Float64Array): void {
  const most = largest(points);
  for (let index = 0; index < points.length; index++) {
    points[index] = most === 0 ? 100 : 100 - (100 * (points[index] ?? 0)) / most;
  }
}

/** The node with the most points gets 100, the one with the fewest 0; all the same: none. */
export function normalizeRange(points: Float64Array): void {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const each of points) {
    if (each < least) least = each;
    if (each > most) most = each;
  }
  const range = most - least;
  for (let index = 0; index < points.length; index++) {
    points[index] = range === 0 ? 0 : (100 * ((points[index] ?? 0) - least)) / range;
  }
}

function largest(points: Float64Array): number {
  let most = 0;
  for (const each of points) if (each > most) most = each;
  return most;
}
