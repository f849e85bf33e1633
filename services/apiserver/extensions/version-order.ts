/**
 * Versions in order of preference (apimachinery `version.CompareKubeAwareVersionStrings`): v2 before
 * v1, both before v1beta2, v1beta1 and v1alpha1, and these before all other names.
 */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [rankOf(one), rankOf(other)];
  for (const [index, rank] of left.entries()) {
    const difference = (right[index] ?? 0) - rank;
    if (difference !== 0) return difference;
  }
  return one < other ? -1 : one > other ? 1 : 0;
}

function rankOf(version: string): number[] {
  const match = /^v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?$/.exec(version);
  if (match === null) return [0, 0, 0];
  const [, major, stability, minor] = match;
  const stage = stability === undefined ? 3 : stability === "beta" ? 2 : 1;
  return [stage, Number(major), Number(minor ?? 0)];
}
