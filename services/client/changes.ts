/** What a watch tells of an object that has changed, put upon the version before (`dynamic.proto`). */

/** A new object; what has not changed is shared with `base`. */
export function withChanges<T extends object>(base: T, changes: T): T {
  return merged(base, changes, (before, change) =>
    isFields(before) && isFields(change) ? merged(before, change, (_, value) => value) : change,
  );
}

function merged<T extends object>(
  base: T,
  changes: T,
  value: (before: unknown, change: unknown) => unknown,
): T {
  const result: T = { ...base };
  const fields = result as Record<string, unknown>;
  for (const [name, change] of Object.entries(changes)) {
    if (change === null) delete fields[name];
    else if (change !== undefined) fields[name] = value(fields[name], change);
  }
  return result;
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
