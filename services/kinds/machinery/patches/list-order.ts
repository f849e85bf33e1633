/** The order of merged lists. */

type KeyOf = (element: unknown) => unknown;

/** Sorts `elements` as their keys stand in `order`. */
export function orderBy(
  elements: readonly unknown[],
  order: readonly unknown[],
  keyOf: KeyOf,
): unknown[] {
  const places = placesOf(order, keyOf);
  const place = (element: unknown): number => places.get(keyOf(element)) ?? order.length;
  return [...elements].sort((left, right) => place(left) - place(right));
}

/**
 * Weaves `left` into `right`, each keeping its own order: an element of `left` goes before the
 * first remaining of `right` that stood after it in `reference`.
 */
export function mergeSorted(
  left: readonly unknown[],
  right: readonly unknown[],
  reference: readonly unknown[],
  keyOf: KeyOf,
): unknown[] {
  const places = placesOf(reference, keyOf);
  const merged: unknown[] = [];
  let next = 0;
  for (const element of right) {
    const place = places.get(keyOf(element));
    while (next < left.length) {
      const before = places.get(keyOf(left[next]));
      if (place === undefined || before === undefined || before >= place) break;
      merged.push(left[next]);
      next += 1;
    }
    merged.push(element);
  }
  return [...merged, ...left.slice(next)];
}

function placesOf(order: readonly unknown[], keyOf: KeyOf): Map<unknown, number> {
  const places = new Map<unknown, number>();
  order.forEach((element, index) => {
    if (!places.has(keyOf(element))) places.set(keyOf(element), index);
  });
  return places;
}
