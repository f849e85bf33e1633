import { badRequest } from "../errors.ts";
import { keyBytes } from "./keys.ts";

/** Where the next page of a list begins. */
export interface ContinueToken {
  /** -1: whichever is the latest when the page is read. */
  readonly revision: number;
  /** Last key delivered, relative to the prefix of the list. */
  readonly after: string;
}

/** Upstream's token form: base64url of `{"v":"meta.k8s.io/v1","rv":…,"start":…}`. */
export function encodeContinue(token: ContinueToken): string {
  const text = JSON.stringify({ v: version, rv: token.revision, start: `${token.after}\0` });
  return Buffer.from(text).toString("base64url");
}

const version = "meta.k8s.io/v1";
/** The revision of a token of a list that goes on inconsistently. */
export const latest = -1;
const lengthMax = 2_048;

export function decodeContinue(text: string): ContinueToken {
  const refuse = (why: string) =>
    badRequest(`invalid continue token: continue key is not valid: ${why}`);
  if (text.length > lengthMax) throw refuse(`longer than ${lengthMax} characters`);
  let parsed: { v?: unknown; rv?: unknown; start?: unknown };
  try {
    parsed = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    throw refuse("not the base64url text of a JSON object");
  }
  if (parsed === null || typeof parsed !== "object") throw refuse("not a JSON object");
  if (parsed.v !== version) {
    throw refuse(`server does not recognize this encoded version ${JSON.stringify(parsed.v)}`);
  }
  const { rv, start } = parsed;
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0) {
    throw refuse(`incorrect encoded start resourceVersion (version ${version})`);
  }
  if (start === undefined || start === "") {
    throw refuse(`encoded start key empty (version ${version})`);
  }
  if (typeof start !== "string" || !start.endsWith("\0") || keyBytes(start).length > lengthMax) {
    throw refuse("start is no key");
  }
  if (start.includes("../") || start.startsWith("/")) throw refuse("start leaves the list");
  return { revision: Math.max(rv, latest), after: start.slice(0, -1) };
}
