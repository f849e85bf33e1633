import type { SelfSubjectAccessReview } from "../../../proto/gen/authorization.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";
import { accessOf } from "./access.ts";

export const selfSubjectAccessReview: VirtualKind = {
  create(backend, call, document) {
    const { spec = {} } = document as SelfSubjectAccessReview;
    return { ...document, status: accessOf(backend, call.user, spec) };
  },
};
