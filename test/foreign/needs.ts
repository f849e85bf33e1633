/** Programs that the suites of this folder drive, and that `npm install` does not bring. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where the program is; undefined when it is not on PATH. */
export function locate(program: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here; perhaps in the next folder.
    }
  }
  return undefined;
}

/**
 * Options of a suite or test that drives `program`. Without the program it is skipped, and says
 * what is missing; where env CI is `true` nothing may be missing, and it throws instead.
 */
export function needs(program: string, debianPackage: string): { readonly skip: string | false } {
  return needed(program, `apt-get install ${debianPackage}`);
}

/** The same for a program that `.ci/foreign.sh` builds with Go. */
export function needsBuilt(program: string, goPackage: string): { readonly skip: string | false } {
  return needed(program, `bash .ci/foreign.sh builds it from ${goPackage}`);
}

/** The same for a program that `.ci/foreign.sh` makes of packages from Python's index. */
export function needsPython(program: string, packages: string): { readonly skip: string | false } {
  return needed(program, `bash .ci/foreign.sh makes it with pip install ${packages}`);
}

/**
 * The same for a program that is built by hand. It is no failure in CI either: to compile
 * kube-controller-manager takes longer than all other suites of this folder.
 */
export function needsByHand(program: string): { readonly skip: string | false } {
  if (locate(program) !== undefined) return { skip: false };
  return { skip: `skipped: needs ${program} (built by hand, see test/README.md)` };
}

function needed(program: string, how: string): { readonly skip: string | false } {
  if (locate(program) !== undefined) return { skip: false };
  const text = `needs ${program} (${how})`;
  if (process.env["CI"] === "true") throw new Error(text);
  return { skip: `skipped: ${text}` };
}
