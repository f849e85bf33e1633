import type { TokenRequest } from "../../../../proto/gen/core.ts";
import { checkSchema } from "../../../kinds/mod.ts";
import { badRequest, invalid } from "../../errors.ts";
import { createToken } from "../../verbs/tokens.ts";
import type { SubresourceRequest, SubresourceRow } from "./table.ts";

const kind = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" } as const;

export const tokenRow: SubresourceRow = {
  name: "token",
  kind,
  verbs: {
    create: async ({ backend }, call, request) => ({
      document: await createToken(backend, call, request.resource, requestIn(request)),
      status: 201,
    }),
  },
};

/** Throws BadRequest, Invalid. */
function requestIn({ name, namespace, content }: SubresourceRequest): TokenRequest {
  const value = content() ?? {};
  const { errors, document } = checkSchema("trireme.core.v1.TokenRequest", value, "ignore");
  if (errors.length > 0) throw invalid(kind, name, errors);
  const { metadata = {}, kind: given = kind.kind } = document;
  if (given !== kind.kind) throw badRequest(`the body is Kind=${given}, must be ${kind.kind}`);
  if ((metadata.name || name) !== name) {
    throw badRequest(`name in URL does not match name in TokenRequest object: ${name}`);
  }
  if ((metadata.namespace || namespace) !== namespace) {
    throw badRequest("namespace in URL does not match namespace in TokenRequest object");
  }
  return { ...(document as TokenRequest), metadata: { ...metadata, name, namespace } };
}
