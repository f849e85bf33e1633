import { createHash, timingSafeEqual } from "node:crypto";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { unauthenticated } from "../errors.ts";
import type { User } from "../request-info.ts";
import type { Authenticator } from "./authenticate.ts";

const tokenBytesMax = 16 * 1024;

/**
 * Bearer tokens from a file of lines `token,user,uid[,"group1,group2"]` (upstream
 * `--token-auth-file`). Throws invalidArgument that names the line; tokens are never repeated.
 */
export function tokenFileAuthenticator(text: string): Authenticator {
  const users = new Map<string, { readonly hash: Buffer; readonly user: User }>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [token, name, uid, groups] = fieldsOf(line);
    if (!token || !name || uid === undefined) {
      throw new StatusError(
        Code.invalidArgument,
        `--token-auth-file: line ${index + 1} is not token,user,uid[,"group1,group2"]`,
      );
    }
    const hash = hashOf(token);
    const user = { name, groups: (groups ?? "").split(",").filter((group) => group !== "") };
    users.set(hash.toString("hex"), { hash, user });
  }
  return {
    name: "token-file",
    authenticate({ header }) {
      const token = bearerOf(header("authorization")[0]);
      if (token === undefined) return undefined;
      const hash = hashOf(token);
      const found = users.get(hash.toString("hex"));
      if (found === undefined || !timingSafeEqual(found.hash, hash)) {
        throw unauthenticated("Unauthorized: the bearer token is not known");
      }
      return found.user;
    },
  };
}

/** The token of an `Authorization: Bearer …` header. */
function bearerOf(header: string | undefined): string | undefined {
  const token = /^bearer +(\S+)$/i.exec(header?.slice(0, tokenBytesMax + 16) ?? "")?.[1];
  return token !== undefined && token.length <= tokenBytesMax ? token : undefined;
}

function hashOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Comma-separated; a field may stand in double quotes. */
function fieldsOf(line: string): string[] {
  return [...line.matchAll(/(?:^|,)\s*(?:"([^"]*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted ?? (plain ?? "").trim(),
  );
}
