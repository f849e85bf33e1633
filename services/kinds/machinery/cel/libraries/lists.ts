/** Lists and sets: Kubernetes' `isSorted sum min max indexOf lastIndexOf`, and CEL's sets. */
import type { Environment } from "@marcbachmann/cel-js";
import { compareValues, equalValues } from "../values.ts";
import { define, defineNamespace } from "./define.ts";

type List = readonly unknown[];

const ordered = ["int", "double", "string", "bool", "duration", "timestamp", "uint"] as const;
const types: Readonly<Record<(typeof ordered)[number], string>> = {
  int: "int",
  double: "double",
  string: "string",
  bool: "bool",
  duration: "google.protobuf.Duration",
  timestamp: "google.protobuf.Timestamp",
  uint: "uint",
};

export function registerLists(environment: Environment): void {
  for (const name of ordered) {
    const type = types[name];
    define(environment, {
      [`list<${type}>.isSorted(): bool`]: (list: List) =>
        list.every((each, index) => index === 0 || compareValues(list[index - 1], each) <= 0),
      [`list<${type}>.min(): ${type}`]: (list: List) => extreme(list, "min", -1),
      [`list<${type}>.max(): ${type}`]: (list: List) => extreme(list, "max", 1),
    });
  }
  define(environment, {
    "list<int>.sum(): int": (list: readonly bigint[]) => list.reduce((sum, each) => sum + each, 0n),
    "list<double>.sum(): double": (list: readonly number[]) =>
      list.reduce((sum, each) => sum + each, 0),
    "list<T>.indexOf(T): int": (list: List, value: unknown) =>
      BigInt(list.findIndex((each) => equalValues(each, value))),
    "list<T>.lastIndexOf(T): int": (list: List, value: unknown) =>
      BigInt(list.findLastIndex((each) => equalValues(each, value))),
  });
  defineNamespace(environment, "sets", {
    "contains(list, list): bool": contains,
    "equivalent(list, list): bool": (one: List, other: List) =>
      contains(one, other) && contains(other, one),
    "intersects(list, list): bool": (one: List, other: List) =>
      one.some((each) => other.some((its) => equalValues(each, its))),
  });
}

function contains(list: List, part: List): boolean {
  return part.every((each) => list.some((its) => equalValues(each, its)));
}

function extreme(list: List, name: string, sign: number): unknown {
  if (list.length === 0) throw new Error(`${name} called on empty list`);
  return list.reduce((best, each) => (sign * compareValues(each, best) > 0 ? each : best));
}
