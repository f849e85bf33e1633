/**
 * Loads every program once, from the sources or as part of the bundle, so that Node's compile cache
 * holds them all: run at installation, it saves each later start the compiling.
 */
import { flushCompileCache } from "node:module";
import { programNames, runComponent } from "./programs.ts";

const quiet = process.stdout.write.bind(process.stdout);
process.stdout.write = () => true;
for (const name of programNames) await runComponent(name, ["--help"]);
process.stdout.write = quiet;
await Promise.all([
  import("./commands.ts"),
  import("./commands/objects.ts"),
  import("./commands/status.ts"),
  import("./supervise.ts"),
  import("../../ha/member/load.ts"),
  import("../../ha/runtime/production/libp2p-network.ts"),
  import("../../ha/runtime/production/level-disk.ts"),
]);
flushCompileCache();
