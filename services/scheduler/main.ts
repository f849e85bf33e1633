import { runProgram } from "../../ha/runtime/production/process.ts";
import { program } from "./program.ts";

export { program } from "./program.ts";

if (import.meta.main) await runProgram(program, process.argv.slice(2));
