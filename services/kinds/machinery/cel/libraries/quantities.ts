/** Quantities such as "250m" and "1Gi". */
import type { Environment } from "@marcbachmann/cel-js";
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  type Quantity,
  quantityMessage,
  subtractQuantities,
} from "../../quantity.ts";
import { define } from "./define.ts";

const nano = 1_000_000_000n;
const int64Max = 2n ** 63n - 1n;

class QuantityValue {
  readonly amount: Quantity;

  constructor(amount: Quantity) {
    this.amount = amount;
  }

  /** Texts tell values apart: see values.ts. */
  toString(): string {
    return `${this.amount.nanos}`;
  }
}

export function registerQuantities(environment: Environment): void {
  const type = "kubernetes.Quantity";
  environment.registerType(type, { ctor: QuantityValue, fields: {} });
  const compare = (one: QuantityValue, other: QuantityValue) =>
    compareQuantities(one.amount, other.amount);
  environment.registerOperator(
    `${type} == ${type}`,
    (one: QuantityValue, other: QuantityValue) => compare(one, other) === 0,
  );
  const whole = ({ amount }: QuantityValue) =>
    amount.nanos % nano === 0n && amount.nanos / nano <= int64Max;
  const fromInt = (value: bigint) => new QuantityValue({ nanos: value * nano, format: "decimal" });
  define(environment, {
    [`quantity(string): ${type}`]: (text: string) => {
      const amount = parseQuantity(text);
      if (amount === undefined) throw new Error(quantityMessage);
      return new QuantityValue(amount);
    },
    "isQuantity(string): bool": (text: string) => parseQuantity(text) !== undefined,
    [`${type}.isInteger(): bool`]: whole,
    [`${type}.asInteger(): int`]: (value: QuantityValue) => {
      if (whole(value)) return value.amount.nanos / nano;
      throw new Error("cannot convert value to integer");
    },
    [`${type}.asApproximateFloat(): double`]: ({ amount }: QuantityValue) =>
      Number(amount.nanos) / Number(nano),
    [`${type}.sign(): int`]: ({ amount }: QuantityValue) =>
      amount.nanos > 0n ? 1n : amount.nanos < 0n ? -1n : 0n,
    [`${type}.add(${type}): ${type}`]: (one: QuantityValue, other: QuantityValue) =>
      new QuantityValue(addQuantities(one.amount, other.amount)),
    [`${type}.add(int): ${type}`]: (one: QuantityValue, other: bigint) =>
      new QuantityValue(addQuantities(one.amount, fromInt(other).amount)),
    [`${type}.sub(${type}): ${type}`]: (one: QuantityValue, other: QuantityValue) =>
      new QuantityValue(subtractQuantities(one.amount, other.amount)),
    [`${type}.sub(int): ${type}`]: (one: QuantityValue, other: bigint) =>
      new QuantityValue(subtractQuantities(one.amount, fromInt(other).amount)),
    [`${type}.isGreaterThan(${type}): bool`]: (one: QuantityValue, other: QuantityValue) =>
      compare(one, other) > 0,
    [`${type}.isLessThan(${type}): bool`]: (one: QuantityValue, other: QuantityValue) =>
      compare(one, other) < 0,
    [`${type}.compareTo(${type}): int`]: (one: QuantityValue, other: QuantityValue) =>
      BigInt(Math.sign(compare(one, other))),
    [`string(${type}): string`]: ({ amount }: QuantityValue) => formatQuantity(amount),
  });
}
