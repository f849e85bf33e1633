import { userInfoOf } from "../user-info.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";

export const selfSubjectReview: VirtualKind = {
  create: (_backend, call, document) => {
    return { ...document, status: { userInfo: userInfoOf(call.user) } };
  },
};
