/**
 * Kubernetes quantities ("250m", "1Gi", "5e3"), exactly (apimachinery `api/resource`).
 *
 * The smallest step is 10^-9; anything finer is rounded away from zero, and nothing is larger than
 * 2^63-1, as upstream documents.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

type QuantityFormat = "binary" | "decimal" | "exponent";

export interface Quantity {
  /** The amount times 10^9. */
  readonly nanos: bigint;
  /** The family of suffixes it is written with. */
  readonly format: QuantityFormat;
}

const nano = 1_000_000_000n;
const maxNanos = (2n ** 63n - 1n) * nano;
/** No sensible quantity is longer; the bound keeps BigInt arithmetic cheap. */
const maxLength = 64;

const grammar = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?$/;

/** What upstream says of text that is no quantity. */
export const quantityMessage =
  "quantities must match the regular expression " +
  "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const decimalSuffixes = new Map(
  Object.entries(decimalExponents).map(([suffix, exponent]) => [exponent, suffix]),
);
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/** Undefined when the text is no quantity. */
export function parseQuantity(text: string): Quantity | undefined {
  return text.length > maxLength ? undefined : readingOf(text).quantity;
}

/** What a text says. */
interface Reading {
  readonly quantity: Quantity | undefined;
  /** Made when it is first asked for. */
  canonical: string | undefined;
}

/** The same few amounts come again and again, each several times while one object is judged. */
const readings = new Map<string, Reading>();
const readingsMax = 2_000;

function readingOf(text: string): Reading {
  let reading = readings.get(text);
  if (reading === undefined) {
    reading = { quantity: read(text), canonical: undefined };
    if (readings.size >= readingsMax) readings.clear();
    readings.set(text, reading);
  }
  return reading;
}

function read(text: string): Quantity | undefined {
  const match = grammar.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = "", fraction = "", exponentText, suffix = ""] = match;
  const digits = whole + fraction;
  if (digits === "") return undefined;
  let numerator = BigInt(digits);
  let power = 9 - fraction.length;
  let format: QuantityFormat = "decimal";
  if (exponentText !== undefined) {
    format = "exponent";
    const exponent = Number(exponentText.slice(1));
    if (Math.abs(exponent) > 1_000) return undefined;
    power += exponent;
  } else if (suffix.endsWith("i")) {
    format = "binary";
    numerator <<= 10n * BigInt(binarySuffixes.indexOf(suffix));
  } else {
    power += decimalExponents[suffix] ?? 0;
  }
  let nanos = power >= 0 ? numerator * 10n ** BigInt(power) : divideUp(numerator, -power);
  if (nanos > maxNanos) nanos = maxNanos;
  return { nanos: sign === "-" ? -nanos : nanos, format };
}

function divideUp(numerator: bigint, powerOfTen: number): bigint {
  const divisor = 10n ** BigInt(powerOfTen);
  return (numerator + divisor - 1n) / divisor;
}

/** As {@link parseQuantity}, for text that has been validated: anything else is an error. */
export function quantityOf(text: string): Quantity {
  const quantity = parseQuantity(text);
  if (quantity === undefined) {
    throw new StatusError(
      Code.invalidArgument,
      `quantity ${JSON.stringify(text)}: ${quantityMessage}`,
    );
  }
  return quantity;
}

/**
 * The canonical text: no fraction, the largest suffix that loses nothing. Binary amounts below 1024
 * or with a fraction are written decimally, as upstream does.
 */
export function formatQuantity(quantity: Quantity): string {
  const { nanos, format } = quantity;
  if (nanos === 0n) return "0";
  const isWhole = nanos % nano === 0n;
  const magnitude = nanos < 0n ? -nanos : nanos;
  if (format === "binary" && isWhole && magnitude >= 1024n * nano) {
    let amount = nanos / nano;
    let index = 0;
    while (amount % 1024n === 0n && index < binarySuffixes.length - 1) {
      amount /= 1024n;
      index += 1;
    }
    return `${amount}${binarySuffixes[index]}`;
  }
  let amount = nanos;
  let exponent = -9;
  while (amount % 1000n === 0n && exponent < 18) {
    amount /= 1000n;
    exponent += 3;
  }
  if (format === "exponent") return exponent === 0 ? `${amount}` : `${amount}e${exponent}`;
  return `${amount}${decimalSuffixes.get(exponent) ?? ""}`;
}

/** The canonical form of valid text; text that is no quantity stays, for validation to refuse. */
export function canonicalQuantity(text: string): string {
  if (text.length > maxLength) return text;
  const reading = readingOf(text);
  const { quantity } = reading;
  reading.canonical ??= quantity === undefined ? text : formatQuantity(quantity);
  return reading.canonical;
}

/** Negative, zero or positive, as for `Array.sort`. */
export function compareQuantities(left: Quantity, right: Quantity): number {
  return left.nanos < right.nanos ? -1 : left.nanos > right.nanos ? 1 : 0;
}

/** The same resources with equal amounts, however they are written. Both must be valid. */
export function sameAmounts(
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): boolean {
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  return names.every((name) => {
    const [left, right] = [one[name], other[name]];
    if (left === undefined || right === undefined) return false;
    return compareQuantities(quantityOf(left), quantityOf(right)) === 0;
  });
}

/** The sum, written like `left` unless that is zero. */
export function addQuantities(left: Quantity, right: Quantity): Quantity {
  return {
    nanos: left.nanos + right.nanos,
    format: left.nanos === 0n ? right.format : left.format,
  };
}

export function subtractQuantities(left: Quantity, right: Quantity): Quantity {
  return addQuantities(left, { nanos: -right.nanos, format: right.format });
}

/** `factor` must be whole. */
export function scaleQuantity(quantity: Quantity, factor: number): Quantity {
  return { nanos: quantity.nanos * BigInt(factor), format: quantity.format };
}

/** Rounded up to a whole number of units of 10^-9 × `unitNanos`. */
function inUnits(quantity: string | Quantity | undefined, unitNanos: bigint): number {
  if (quantity === undefined) return 0;
  const { nanos } = typeof quantity === "string" ? quantityOf(quantity) : quantity;
  const floor = nanos / unitNanos;
  return Number(nanos > 0n && nanos % unitNanos !== 0n ? floor + 1n : floor);
}

/** Thousandths, rounded up: "0.1" is 100. Absent is 0. */
export function cpuMillis(quantity: string | Quantity | undefined): number {
  return inUnits(quantity, 1_000_000n);
}

/** Whole units, rounded up: bytes of memory, numbers of pods. Absent is 0. */
export function bytes(quantity: string | Quantity | undefined): number {
  return inUnits(quantity, nano);
}

export function quantityFromMillis(millis: number): Quantity {
  return { nanos: BigInt(Math.trunc(millis)) * 1_000_000n, format: "decimal" };
}

/** Rewrites quantities in their canonical form, as upstream's decoder does. */
export function canonicalise(amounts: Record<string, string> | undefined): void {
  if (amounts === undefined) return;
  for (const [name, amount] of Object.entries(amounts)) amounts[name] = canonicalQuantity(amount);
}
