import type { UserInfo } from "../../proto/gen/authentication.ts";
import type { User } from "./request-info.ts";

/** A user as reviews show it; what is not known is left out. */
export function userInfoOf({ name, uid, groups, extra = {} }: User): UserInfo {
  const known = Object.entries(extra);
  return {
    username: name,
    ...(uid !== undefined && uid !== "" && { uid }),
    ...(groups.length > 0 && { groups: [...groups] }),
    ...(known.length > 0 && {
      extra: Object.fromEntries(known.map(([key, values]) => [key, [...values]])),
    }),
  };
}
