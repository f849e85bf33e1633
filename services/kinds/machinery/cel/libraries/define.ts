import type { Environment } from "@marcbachmann/cel-js";
import { spend } from "../budget.ts";

/** Its arguments are of the types in the signature, which the language checks. */
type Handler = (...values: never[]) => unknown;

/** Registers functions by their signatures. */
export function define(environment: Environment, functions: Record<string, Handler>): void {
  for (const [signature, handler] of Object.entries(functions)) {
    environment.registerFunction(signature, handler as never);
  }
}

/** Registers functions that are called as `name.function(…)`. */
export function defineNamespace(
  environment: Environment,
  name: string,
  functions: Record<string, Handler>,
): void {
  const type = `Namespace${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
  const namespace = { [type]: class {} }[type] as new () => object;
  environment.registerType(type, namespace);
  environment.registerConstant(name, type, new namespace());
  for (const [signature, handler] of Object.entries(functions)) {
    const call = (_namespace: unknown, ...values: never[]) => handler(...values);
    environment.registerFunction(`${type}.${signature}`, call as never);
  }
}

/** What a function costs that goes through a text. */
export function spendOnText(...texts: readonly string[]): void {
  for (const text of texts) spend(1 + text.length / 10);
}
