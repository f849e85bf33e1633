import type { SubjectAccessReview } from "../../../proto/gen/authorization.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";
import { accessOf, subjectOf } from "./access.ts";

/** Also of LocalSubjectAccessReview, which differs in who may ask. */
export const subjectAccessReview: VirtualKind = {
  create(backend, _call, document) {
    const { spec = {} } = document as SubjectAccessReview;
    return { ...document, status: accessOf(backend, subjectOf(spec), spec) };
  },
};
