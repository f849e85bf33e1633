import { timingSafeEqual } from "node:crypto";
import type { Secret } from "../../../proto/gen/core.ts";
import { parseTime } from "../../kinds/mod.ts";
import { unauthenticated } from "../errors.ts";
import type { TokenAuthenticator } from "./bearer.ts";

const tokenForm = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const groupForm = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;
const secretType = "bootstrap.kubernetes.io/token";
const bootstrappers = "system:bootstrappers";

/** The secret of a name in kube-system, as the watch cache has it. */
export type SecretLookup = (name: string) => Secret | undefined;

/**
 * Tokens with which a machine joins (upstream `plugin/pkg/auth/authenticator/token/bootstrap`):
 * `ID.SECRET`, kept in the secret `bootstrap-token-ID` of kube-system.
 */
export function bootstrapTokenAuthenticator(
  lookup: SecretLookup,
  now: () => number,
): TokenAuthenticator {
  return {
    name: "bootstrap-token",
    authenticate(token) {
      const [, id, proof] = tokenForm.exec(token) ?? [];
      if (id === undefined || proof === undefined) return undefined;
      const secret = lookup(`bootstrap-token-${id}`);
      const field = (key: string) =>
        Buffer.from(secret?.data?.[key] ?? "", "base64").toString("utf8");
      const known =
        secret?.type === secretType &&
        secret.metadata?.deletionTimestamp === undefined &&
        field("token-id") === id &&
        sameText(field("token-secret"), proof);
      if (!known) throw refused("it is not known");
      const expiry = field("expiration");
      const end = parseTime(expiry);
      if (expiry !== "" && (end === undefined || end <= now())) throw refused("it has expired");
      if (field("usage-bootstrap-authentication") !== "true") {
        throw refused("it is not for authentication");
      }
      const extra = field("auth-extra-groups").split(",");
      const groups = extra.filter((group) => group !== "");
      const wrong = groups.find((group) => !groupForm.test(group));
      if (wrong !== undefined) throw refused(`its group "${wrong}" is none of ${bootstrappers}:*`);
      return { user: { name: `system:bootstrap:${id}`, groups: [bootstrappers, ...groups] } };
    },
  };
}

/** Takes as long for a near miss as for a wide one. */
function sameText(kept: string, given: string): boolean {
  const [one, other] = [Buffer.from(kept), Buffer.from(given)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function refused(why: string) {
  return unauthenticated(`Unauthorized: the bootstrap token is not valid: ${why}`);
}
