import { builtInRegistry } from "../../services/kinds/mod.ts";

/** The built-in resources, for every suite of this folder. */
export const registry = builtInRegistry();
