/** The `trireme` command: a component by its name, or what people use. */
import "./compiler.ts";
import { programNames, runComponent } from "./programs.ts";

// The reader of the output may stop before its end, as `head` does.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const [name, ...args] = process.argv.slice(2);
// Components start without loading the commands that people use, and the other way round.
if (name === undefined || !(await runComponent(name, args))) {
  const { runCommand } = await import("./commands.ts");
  await runCommand(process.argv.slice(2), programNames);
}
