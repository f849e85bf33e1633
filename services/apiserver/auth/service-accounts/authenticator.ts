import type { Secret } from "../../../../proto/gen/core.ts";
import { isObject } from "../../../kinds/machinery/json.ts";
import { type Document, parseTime } from "../../../kinds/mod.ts";
import { unauthenticated } from "../../errors.ts";
import type { User } from "../../request-info.ts";
import { NotSeenYet } from "../authenticate.ts";
import type { TokenAuthenticator, TokenIdentity } from "../bearer.ts";
import { audiencesOf, isSignedBy, type Jwt, numberClaim, parseJwt, textClaim } from "../jwt.ts";
import { serviceAccountUser } from "../rbac/policy.ts";
import type { ServiceAccountTokens } from "./tokens.ts";

/** Objects as the watch cache has them; undefined: there is none. */
export type ObjectLookup = (
  kind: "ServiceAccount" | "Pod" | "Secret" | "Node",
  namespace: string,
  name: string,
) => Document | undefined;

/** The issuer of tokens that stand in secrets and never expire. */
const legacyIssuer = "kubernetes/serviceaccount";
const accountsGroup = "system:serviceaccounts";
const extraPrefix = "authentication.kubernetes.io/";
/** An object under deletion, and a clock that is a little behind, still count. */
const leewayMillis = 60_000;
/** Signatures that were found good are not checked again. */
const provenMax = 4_096;

/**
 * Tokens that this cluster has signed (upstream `pkg/serviceaccount`): of the right issuer, for the
 * right audience, not expired, of an account, and bound to objects, that still exist.
 */
export function serviceAccountAuthenticator(
  tokens: ServiceAccountTokens,
  lookup: ObjectLookup,
  now: () => number,
): TokenAuthenticator {
  const proven = new Map<string, Jwt>();
  const prove = (token: string): Jwt | undefined => {
    const known = proven.get(token);
    if (known !== undefined) return known;
    const jwt = parseJwt(token);
    const issuer = jwt && textClaim(jwt.claims, "iss");
    if (jwt === undefined || issuer === undefined) return undefined;
    if (issuer !== legacyIssuer && !tokens.issuers.includes(issuer)) return undefined;
    if (!tokens.keysOf(jwt).some((key) => isSignedBy(jwt, key))) throw wrong("its signature");
    if (proven.size >= provenMax) proven.delete(proven.keys().next().value ?? "");
    proven.set(token, jwt);
    return jwt;
  };
  return {
    name: "service-account",
    authenticate(token, audiences) {
      const jwt = prove(token);
      if (jwt === undefined) return undefined;
      const legacy = textClaim(jwt.claims, "iss") === legacyIssuer;
      if (legacy) return legacyIdentity(tokens, lookup, jwt, token, audiences);
      return boundIdentity(lookup, now(), jwt, audiences);
    },
  };
}

function boundIdentity(
  lookup: ObjectLookup,
  nowMillis: number,
  { claims }: Jwt,
  audiences: readonly string[],
): TokenIdentity {
  const expiry = numberClaim(claims, "exp");
  if (expiry === undefined || nowMillis >= 1000 * expiry) throw wrong("it has expired");
  const begin = numberClaim(claims, "nbf") ?? 0;
  if (nowMillis + leewayMillis < 1000 * begin) throw wrong("it is not valid yet");
  const own = audiencesOf(claims);
  const valid = audiences.filter((each) => own.includes(each));
  if (valid.length === 0) {
    throw wrong(`its audiences ${JSON.stringify(own)} are none of ${JSON.stringify(audiences)}`);
  }
  const named = objectOf(claims["kubernetes.io"]);
  const namespace = textClaim(named, "namespace") ?? "";
  const account = referenceOf(named, "serviceaccount");
  if (account === undefined) throw wrong("it names no service account");
  const check = (kind: Parameters<ObjectLookup>[0], of: Reference, within: string) =>
    checkExists(lookup(kind, within, of.name), kind, of, nowMillis);
  check("ServiceAccount", account, namespace);
  const secret = referenceOf(named, "secret");
  if (secret !== undefined) check("Secret", secret, namespace);
  const pod = referenceOf(named, "pod");
  if (pod !== undefined) check("Pod", pod, namespace);
  const node = referenceOf(named, "node");
  // Of a pod's token the node is told, but the pod alone decides.
  if (node !== undefined && pod === undefined) check("Node", node, "");
  const extra = {
    ...(pod && { "pod-name": pod.name, "pod-uid": pod.uid }),
    ...(node && { "node-name": node.name, ...(node.uid && { "node-uid": node.uid }) }),
    ...(textClaim(claims, "jti") && { "credential-id": `JTI=${textClaim(claims, "jti")}` }),
  };
  const entries = Object.entries(extra).map(([key, value]) => [`${extraPrefix}${key}`, [value]]);
  const user = userOf(namespace, account.name, account.uid, Object.fromEntries(entries));
  return { user, audiences: valid };
}

/** A token in a secret is valid as long as the secret holds it. */
function legacyIdentity(
  tokens: ServiceAccountTokens,
  lookup: ObjectLookup,
  { claims }: Jwt,
  token: string,
  audiences: readonly string[],
): TokenIdentity {
  // It names no audience, so it is for the API alone.
  const valid = audiences.filter((each) => tokens.audiences.includes(each));
  if (valid.length === 0) throw wrong(`it is not for ${JSON.stringify(audiences)}`);
  const claim = (name: string) => textClaim(claims, `${legacyIssuer}/${name}`) ?? "";
  const [namespace, name, uid] = [
    claim("namespace"),
    claim("service-account.name"),
    claim("service-account.uid"),
  ];
  const account = lookup("ServiceAccount", namespace, name);
  if (account === undefined || account.metadata?.uid !== uid) {
    throw notSeen(`the service account ${namespace}/${name} is gone`);
  }
  const secret = lookup("Secret", namespace, claim("secret.name")) as Secret | undefined;
  const kept = Buffer.from(secret?.data?.["token"] ?? "", "base64").toString("utf8");
  if (secret?.metadata?.deletionTimestamp !== undefined || kept !== token) {
    throw notSeen("its secret is gone");
  }
  return { user: userOf(namespace, name, uid, {}), audiences: valid };
}

function userOf(namespace: string, name: string, uid: string, extra: User["extra"]): User {
  return {
    name: serviceAccountUser(namespace, name),
    uid,
    groups: [accountsGroup, `${accountsGroup}:${namespace}`],
    extra,
  };
}

interface Reference {
  readonly name: string;
  readonly uid: string;
}

function referenceOf(named: Record<string, unknown>, field: string): Reference | undefined {
  const value = objectOf(named[field]);
  const name = textClaim(value, "name");
  return name === undefined ? undefined : { name, uid: textClaim(value, "uid") ?? "" };
}

function objectOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

function checkExists(
  document: Document | undefined,
  kind: string,
  { name, uid }: Reference,
  nowMillis: number,
): void {
  if (document === undefined) throw notSeen(`${kind} ${name} is gone`);
  const { metadata } = document;
  if (metadata?.uid !== uid) throw notSeen(`${kind} ${name} is another one now`);
  const deletion = parseTime(metadata.deletionTimestamp);
  if (deletion !== undefined && deletion < nowMillis - leewayMillis) {
    throw wrong(`${kind} ${name} is being deleted`);
  }
}

function wrong(why: string) {
  return unauthenticated(textOf(why));
}

function notSeen(why: string) {
  return new NotSeenYet(textOf(why));
}

function textOf(why: string): string {
  return `Unauthorized: the service account token is not valid: ${why}`;
}
