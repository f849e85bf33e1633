/**
 * A part of a volume that a container mounts. Programs that share the volume may put a link in its
 * place, so the part is looked up again at each start and must lie inside the volume.
 */
import { lstat, mkdir, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { safeRelative } from "./payload.ts";

/** The path on the node; a directory is made where there is nothing. Throws outside the volume. */
export async function subPathOf(base: string, inner: string): Promise<string> {
  const path = join(base, safeRelative(inner, `subPath "${inner}"`));
  const root = await realpath(base);
  const within = (real: string) => real === root || real.startsWith(`${root}/`);
  let known = path;
  while (known !== base && (await lstat(known).catch(() => undefined)) === undefined) {
    known = dirname(known); // not there yet
  }
  const real = await realpath(known).catch(() => undefined); // a link to nowhere
  if (real === undefined || !within(real)) {
    throw new Error(`subPath "${inner}" leads out of its volume`);
  }
  if (known === path) return real;
  await mkdir(path, { recursive: true });
  return path;
}

/** Variables that a subPathExpr names and that have no value. */
export function missingIn(expression: string, expandText: (text: string) => string): string[] {
  const names = [...expression.matchAll(/\$(?:\$|\(([^)]*)\))/g)].flatMap(([, name]) => name ?? []);
  return names.filter((name) => ["", `$(${name})`].includes(expandText(`$(${name})`)));
}
