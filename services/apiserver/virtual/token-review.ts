import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { TokenReview, TokenReviewStatus } from "../../../proto/gen/authentication.ts";
import { withAuthenticatedGroup } from "../auth/authenticate.ts";
import { authenticateToken } from "../auth/bearer.ts";
import { badRequest } from "../errors.ts";
import { userInfoOf } from "../user-info.ts";
import type { Backend } from "../verbs/backend.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";

/** A token that is wrong is an answer, not an error (upstream `registry/authentication/tokenreview`). */
export const tokenReview: VirtualKind = {
  create(backend, _call, document) {
    const { token = "", audiences = [] } = (document as TokenReview).spec ?? {};
    if (token === "") throw badRequest("token is required for TokenReview in authentication");
    return { ...document, status: statusOf(backend, token, audiences) };
  },
};

function statusOf(
  backend: Backend,
  token: string,
  audiences: readonly string[],
): TokenReviewStatus {
  const { kinds, audiences: own } = backend.tokens;
  const wanted = audiences.length === 0 ? own : audiences;
  try {
    const identity = authenticateToken(kinds, token, wanted);
    const user = userInfoOf(withAuthenticatedGroup(identity.user));
    const valid = identity.audiences ?? wanted;
    return { authenticated: true, user, ...(valid.length > 0 && { audiences: [...valid] }) };
  } catch (thrown) {
    const error = StatusError.from(thrown);
    if (error.code !== Code.unauthenticated) throw error;
    return { user: {}, error: error.message };
  }
}
