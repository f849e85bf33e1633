/**
 * The language of rules: CEL with the functions that Kubernetes adds to it, evaluated on a budget.
 * Custom resources' rules and admission policies stand on the same environment.
 */
import { Environment } from "@marcbachmann/cel-js";
import { registerAddresses } from "./libraries/addresses.ts";
import { registerFormats } from "./libraries/formats.ts";
import { registerLists } from "./libraries/lists.ts";
import { registerQuantities } from "./libraries/quantities.ts";
import { registerSemver } from "./libraries/semver.ts";
import { registerStrings } from "./libraries/strings.ts";
import { registerUrls } from "./libraries/urls.ts";

export type CelEnvironment = Environment;

/** Structural bounds of one expression. */
const limits = {
  maxAstNodes: 10_000,
  maxDepth: 100,
  maxListElements: 1_000,
  maxMapEntries: 1_000,
  maxCallArguments: 32,
} as const;

let base: Environment | undefined;

/** An environment of one's own, in which types and variables may be declared. */
export function celEnvironment(): CelEnvironment {
  base ??= createBase();
  return base.clone();
}

function createBase(): Environment {
  const environment = new Environment({
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
    limits,
  });
  registerStrings(environment);
  registerLists(environment);
  registerQuantities(environment);
  registerAddresses(environment);
  registerUrls(environment);
  registerFormats(environment);
  registerSemver(environment);
  return environment;
}
