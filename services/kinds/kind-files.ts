/** Where built-in kinds are found: `<group>/<kind>.ts` or `<group>/<kind>/<kind>.ts`. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** Every file that may define a kind, in the order of groups and names. */
export function kindFiles(home: string = import.meta.dirname): string[] {
  return readdirSync(home, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "machinery")
    .map((entry) => join(home, entry.name))
    .sort()
    .flatMap(filesOf);
}

function filesOf(group: string): string[] {
  return readdirSync(group, { withFileTypes: true })
    .map((entry) =>
      entry.isDirectory() ? join(group, entry.name, `${entry.name}.ts`) : join(group, entry.name),
    )
    .filter((file) => file.endsWith(".ts"))
    .sort();
}
