/** What becomes of the fields of reviews of identities. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const answered = "the apiserver answers with it";
const asked = "the apiserver answers by it";

export const authenticationFields: SupportTable = {
  "trireme.authentication.v1.TokenReview": {
    ...behaves(asked, "apiVersion kind metadata spec"),
    ...behaves(answered, "status"),
  },
  "trireme.authentication.v1.TokenReviewSpec": behaves(asked, "token audiences"),
  "trireme.authentication.v1.TokenReviewStatus": behaves(
    answered,
    "authenticated user audiences error",
  ),
  "trireme.authentication.v1.SelfSubjectReview": {
    ...behaves(asked, "apiVersion kind metadata"),
    ...behaves(answered, "status"),
  },
  "trireme.authentication.v1.SelfSubjectReviewStatus": behaves(answered, "userInfo"),
  "trireme.authentication.v1.UserInfo": behaves(answered, "username uid groups extra"),
};
