/**
 * Where the member's thread begins. Node keeps its cache of compiled code for the main thread only,
 * unless a worker asks for it; asking comes before everything else is loaded.
 */
import { enableCompileCache, flushCompileCache } from "node:module";

const directory = process.env["NODE_COMPILE_CACHE"];
if (directory) enableCompileCache(directory);
await import("./thread.ts");
// A process that is killed would not write it.
flushCompileCache();
