/** Semantic versions such as "1.2.3-rc.1" (semver.org 2.0.0; KEP-5062). */
import type { Environment } from "@marcbachmann/cel-js";
import { define } from "./define.ts";

const number = "(0|[1-9]\\d*)";
const preRelease = "(?:0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)";
const build = "[0-9a-zA-Z-]+";
const pattern = new RegExp(
  `^${number}\\.${number}\\.${number}(?:-(${preRelease}(?:\\.${preRelease})*))?` +
    `(?:\\+${build}(?:\\.${build})*)?$`,
);
const lengthMax = 1_024;

class SemverValue {
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly preRelease: readonly string[];

  constructor(numbers: readonly [bigint, bigint, bigint], preRelease: readonly string[]) {
    this.numbers = numbers;
    this.preRelease = preRelease;
  }

  /** Texts tell values apart: see values.ts. */
  toString(): string {
    return [this.numbers.join("."), this.preRelease.join(".")].join("-");
  }
}

export function isSemver(text: string): boolean {
  return parse(text) !== undefined;
}

export function registerSemver(environment: Environment): void {
  const type = "kubernetes.Semver";
  environment.registerType(type, { ctor: SemverValue, fields: {} });
  environment.registerOperator(
    `${type} == ${type}`,
    (one: SemverValue, other: SemverValue) => compare(one, other) === 0,
  );
  const read = (text: string): SemverValue => {
    const version = parse(text);
    if (version === undefined) throw new Error(`${JSON.stringify(text)} is no semantic version`);
    return version;
  };
  const shown = (text: string, normalise: boolean) => (normalise ? normalised(text) : text);
  define(environment, {
    [`semver(string): ${type}`]: read,
    [`semver(string, bool): ${type}`]: (text: string, normalise: boolean) =>
      read(shown(text, normalise)),
    "isSemver(string): bool": isSemver,
    "isSemver(string, bool): bool": (text: string, normalise: boolean) =>
      isSemver(shown(text, normalise)),
    [`${type}.major(): int`]: ({ numbers }: SemverValue) => numbers[0],
    [`${type}.minor(): int`]: ({ numbers }: SemverValue) => numbers[1],
    [`${type}.patch(): int`]: ({ numbers }: SemverValue) => numbers[2],
    [`${type}.isGreaterThan(${type}): bool`]: (one: SemverValue, other: SemverValue) =>
      compare(one, other) > 0,
    [`${type}.isLessThan(${type}): bool`]: (one: SemverValue, other: SemverValue) =>
      compare(one, other) < 0,
    [`${type}.compareTo(${type}): int`]: (one: SemverValue, other: SemverValue) =>
      BigInt(compare(one, other)),
  });
}

function parse(text: string): SemverValue | undefined {
  const match = text.length > lengthMax ? null : pattern.exec(text);
  if (match === null) return undefined;
  const [, major = "0", minor = "0", patch = "0", pre] = match;
  return new SemverValue([BigInt(major), BigInt(minor), BigInt(patch)], pre?.split(".") ?? []);
}

/** Without a leading "v" and leading zeros, with all three numbers. */
function normalised(text: string): string {
  const match = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)$/.exec(text);
  if (match === null) return text;
  const [, major = "0", minor = "0", patch, rest = ""] = match;
  // A version that is not complete has nothing behind its numbers.
  if (patch === undefined && rest !== "") return text;
  const plain = (digits: string) => digits.replace(/^0+(?=\d)/, "");
  return `${plain(major)}.${plain(minor)}.${plain(patch ?? "0")}${rest}`;
}

/** Less than, equal to or greater than zero: semver.org's precedence, which builds do not count in. */
function compare(one: SemverValue, other: SemverValue): -1 | 0 | 1 {
  for (const [index, value] of one.numbers.entries()) {
    const order = sign(value, other.numbers[index] ?? 0n);
    if (order !== 0) return order;
  }
  const [left, right] = [one.preRelease, other.preRelease];
  // A release comes after its pre-releases.
  if (left.length === 0 || right.length === 0) return sign(right.length, left.length);
  for (const [index, part] of left.entries()) {
    const against = right[index];
    if (against === undefined) return 1;
    const order = comparePart(part, against);
    if (order !== 0) return order;
  }
  return sign(left.length, right.length);
}

function comparePart(one: string, other: string): -1 | 0 | 1 {
  const [oneNumber, otherNumber] = [/^\d+$/.test(one), /^\d+$/.test(other)];
  if (oneNumber && otherNumber) return sign(BigInt(one), BigInt(other));
  if (oneNumber !== otherNumber) return oneNumber ? -1 : 1;
  return sign(one, other);
}

function sign<T extends bigint | number | string>(one: T, other: T): -1 | 0 | 1 {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
