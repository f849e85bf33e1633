/**
 * The built-in resources: every value made by `defineKind` that a file in a group's folder exports,
 * either `<group>/<kind>.ts` or `<group>/<kind>/<kind>.ts`. A kind is added by its message in
 * `proto/` and one file here; no list names it.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isBuiltIn } from "./machinery/define.ts";
import { Registry } from "./machinery/registry.ts";
import type { Resource } from "./machinery/resource.ts";

const home = import.meta.dirname;

const modules = await Promise.all(
  groups().flatMap((group) =>
    files(group).map((file) => import(pathToFileURL(file).href) as Promise<object>),
  ),
);

/** In the order of their groups' and files' names, the core group first. */
const builtIn: readonly Resource[] = [
  ...new Set(modules.flatMap((module) => Object.values(module).filter(isBuiltIn))),
].sort((one, other) => Number(one.group !== "") - Number(other.group !== ""));

function groups(): string[] {
  return readdirSync(home, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "machinery")
    .map((entry) => join(home, entry.name))
    .sort();
}

function files(group: string): string[] {
  return readdirSync(group, { withFileTypes: true })
    .map((entry) =>
      entry.isDirectory() ? join(group, entry.name, `${entry.name}.ts`) : join(group, entry.name),
    )
    .filter((file) => file.endsWith(".ts"))
    .sort();
}

/** A registry of one's own that holds the built-in resources. */
export function builtInRegistry(): Registry {
  return new Registry(builtIn);
}
