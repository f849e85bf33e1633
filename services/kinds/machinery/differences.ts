import { canonicalJson, equalJson } from "./json.ts";

/** Bytes of a value that a message about a change shows. */
const shownLength = 1_000;

/** Lines `- field: before` and `+ field: after` for the fields that differ. */
export function differences(before: object, after: object): string {
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  const lines: string[] = [];
  for (const name of new Set([...old.keys(), ...now.keys()])) {
    const [was, is] = [old.get(name) as unknown, now.get(name) as unknown];
    if (equalJson(was, is)) continue;
    if (was !== undefined) lines.push(`- ${name}: ${shown(was)}`);
    if (is !== undefined) lines.push(`+ ${name}: ${shown(is)}`);
  }
  return lines.join("\n");
}

function shown(value: unknown): string {
  const text = canonicalJson(value);
  return text.length <= shownLength ? text : `${text.slice(0, shownLength)}…`;
}
