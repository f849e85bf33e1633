import { badRequest } from "../errors.ts";
import type { Credentials } from "./authenticate.ts";

const extraKeysMax = 64;

/** Headers `<prefix><key>`: what else is known of a user. Keys are percent-encoded, in lower case. */
export function extraOf(
  credentials: Credentials,
  prefix: string,
): Record<string, readonly string[]> {
  const found = new Set(credentials.namesWith(prefix));
  if (found.size > extraKeysMax) {
    throw badRequest(`${found.size} headers ${prefix}*, at most ${extraKeysMax} are taken`);
  }
  const entries = [...found].map(
    (name) => [decoded(name, prefix), credentials.header(name)] as const,
  );
  return Object.fromEntries(entries);
}

function decoded(name: string, prefix: string): string {
  const key = name.slice(prefix.length);
  try {
    return decodeURIComponent(key).toLowerCase();
  } catch {
    throw badRequest(`header ${name}: the key is not percent-encoded text`);
  }
}
