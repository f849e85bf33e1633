/**
 * The library for YAML, loaded when there is some: most programs never see any, and it is a tenth of
 * all the files that an apiserver loads.
 */
import { createRequire } from "node:module";

type Library = typeof import("yaml");

let library: Library | undefined;

/** A value as YAML. Throws ReferenceError for what has no form in it. */
export function yamlText(value: unknown): string {
  return yamlLibrary().stringify(value);
}

export function yamlLibrary(): Library {
  library ??= createRequire(import.meta.url)("yaml") as Library;
  return library;
}
