import type { Authorizer } from "./authorize.ts";

export const mastersGroup = "system:masters";

/** Members of `system:masters` may do everything, whatever the roles say (upstream's privileged group). */
export const mastersAuthorizer: Authorizer = {
  authorize: ({ user }) => ({ allowed: user.groups.includes(mastersGroup) }),
};
