/** Starts the `trireme` command: from the bundle of these sources if there is one. */
import { enableCompileCache } from "node:module";
import { bundledCommand, chosenBundle, compileCacheDirectory } from "./bundle/place.ts";

enableCompileCache(compileCacheDirectory);
const bundle = chosenBundle();
await import(bundle === undefined ? "./trireme.ts" : bundledCommand(bundle));
