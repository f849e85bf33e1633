/** Regular expressions by RE2's rules: matched in linear time, whatever the pattern. */
import { RE2JS } from "re2js";

/** Bytes of a pattern; RE2 bounds the size of its program besides. */
const patternLengthMax = 10_000;
const patternsMax = 2_000;

const compiled = new Map<string, RE2JS | Error>();

/** The compiled pattern, shared by all who use it; an Error that says what is wrong with it. */
export function compilePattern(pattern: string): RE2JS | Error {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const made = compile(pattern);
  if (compiled.size >= patternsMax) compiled.delete(compiled.keys().next().value ?? "");
  compiled.set(pattern, made);
  return made;
}

function compile(pattern: string): RE2JS | Error {
  if (pattern.length > patternLengthMax) {
    return new Error(`error parsing regexp: longer than ${patternLengthMax} characters`);
  }
  try {
    return RE2JS.compile(pattern);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

/** Whether the pattern is found anywhere in the text. A pattern that is none matches nothing. */
export function matchesPattern(pattern: string, text: string): boolean {
  const expression = compilePattern(pattern);
  return !(expression instanceof Error) && expression.matcher(text).find();
}
