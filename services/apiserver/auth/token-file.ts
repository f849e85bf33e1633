import { createHash, timingSafeEqual } from "node:crypto";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { User } from "../request-info.ts";
import type { TokenAuthenticator } from "./bearer.ts";

/**
 * Bearer tokens from a file of lines `token,user,uid[,"group1,group2"]` (upstream
 * `--token-auth-file`). Throws invalidArgument that names the line; tokens are never repeated.
 */
export function tokenFileAuthenticator(text: string): TokenAuthenticator {
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
    const members = (groups ?? "").split(",").filter((group) => group !== "");
    const user = { name, groups: members, ...(uid !== "" && { uid }) };
    users.set(hash.toString("hex"), { hash, user });
  }
  return {
    name: "token-file",
    authenticate(token) {
      const hash = hashOf(token);
      const found = users.get(hash.toString("hex"));
      const same = found !== undefined && timingSafeEqual(found.hash, hash);
      return same ? { user: found.user } : undefined;
    },
  };
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
