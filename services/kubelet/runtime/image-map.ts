/** Images that are programs of this machine: `--image-map NAME=COMMAND`. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { fullReference } from "./image-reference.ts";

const flag = "--image-map";
const entriesMax = 1_000;

/** What stands for the image's entry point; undefined: nothing does. */
export type ImageMap = (reference: string) => readonly string[] | undefined;

/**
 * A name without tag and digest is that of all its tags. The command is cut into words at blanks;
 * quotes keep blanks, and a backslash the sign behind it. Throws StatusError.
 */
export function parseImageMap(texts: readonly string[]): ImageMap {
  if (texts.length > entriesMax) throw invalid(`more than ${entriesMax} images`);
  const commands = new Map<string, readonly string[]>();
  for (const text of texts) {
    const equals = text.indexOf("=");
    const name = text.slice(0, Math.max(0, equals)).trim();
    const words = equals < 0 ? [] : wordsOf(text.slice(equals + 1), text);
    if (name === "" || words.length === 0) throw invalid(`"${text}" is not NAME=COMMAND`);
    const key = isBare(name) ? untagged(fullReference(name)) : fullReference(name);
    if (commands.has(key)) throw invalid(`image "${name}" is mapped twice`);
    commands.set(key, words);
  }
  return (reference) => {
    const full = fullReference(reference);
    return commands.get(full) ?? commands.get(untagged(full));
  };
}

function isBare(name: string): boolean {
  return !/[:@]/.test(name.slice(name.lastIndexOf("/") + 1));
}

function untagged(full: string): string {
  const [name = ""] = full.split("@");
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}

function wordsOf(command: string, whole: string): readonly string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < command.length; at++) {
    const sign = command[at] ?? "";
    if (quote !== undefined) {
      if (sign === quote) quote = undefined;
      else if (sign === "\\" && quote === '"') word = `${word ?? ""}${command[++at] ?? ""}`;
      else word = `${word ?? ""}${sign}`;
    } else if (sign === "'" || sign === '"') {
      quote = sign;
      word ??= "";
    } else if (/\s/.test(sign)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (sign === "\\") word = `${word ?? ""}${command[++at] ?? ""}`;
    else word = `${word ?? ""}${sign}`;
  }
  if (quote !== undefined) throw invalid(`"${whole}": a quote is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}

function invalid(what: string): StatusError {
  return new StatusError(Code.invalidArgument, `${flag}: ${what}`);
}
