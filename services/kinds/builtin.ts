/**
 * The built-in resources: every value made by `defineKind` that a file in a group's folder exports,
 * either `<group>/<kind>.ts` or `<group>/<kind>/<kind>.ts`. A kind is added by its message in
 * `proto/` and one file here; no list names it.
 */
import { kindModules } from "./kind-modules.ts";
import { isBuiltIn } from "./machinery/define.ts";
import { Registry } from "./machinery/registry.ts";
import type { Resource } from "./machinery/resource.ts";

/** In the order of their groups' and files' names, the core group first. */
const builtIn: readonly Resource[] = [
  ...new Set(kindModules.flatMap((module) => Object.values(module).filter(isBuiltIn))),
].sort((one, other) => Number(one.group !== "") - Number(other.group !== ""));

/** A registry of one's own that holds the built-in resources. */
export function builtInRegistry(): Registry {
  return new Registry(builtIn);
}
