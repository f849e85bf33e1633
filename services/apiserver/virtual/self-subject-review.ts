import type { VirtualKind } from "../verbs/virtual-kind.ts";
import { userInfoOf } from "./user-info.ts";

export const selfSubjectReview: VirtualKind = {
  create: (_backend, call, document) => {
    return { ...document, status: { userInfo: userInfoOf(call.user) } };
  },
};
