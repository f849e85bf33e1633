import type { Secret } from "../../../proto/gen/core.ts";
import { isConflict, isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { type TokenSigner, tokenSigner } from "./token-signer.ts";

const secretType = "kubernetes.io/service-account-token";
const issuer = "kubernetes/serviceaccount";
const annotation = {
  name: "kubernetes.io/service-account.name",
  uid: "kubernetes.io/service-account.uid",
} as const;

export interface ServiceAccountTokenOptions {
  /** PEM of the private key whose public one the apiservers know. */
  readonly privateKey: string;
  /** PEM of the cluster's CA; absent: secrets tell none. */
  readonly rootCa: string | undefined;
  readonly workers: number;
}

/**
 * Fills secrets of type `kubernetes.io/service-account-token` with a token that does not expire, and
 * removes them with their account (upstream's tokens controller).
 */
export function serviceAccountTokenController(options: ServiceAccountTokenOptions): Controller {
  const sign = tokenSigner(options.privateKey);
  return {
    name: "service-account-token",
    informers: ["Secret", "ServiceAccount"],
    workers: options.workers,
    start(context) {
      const { informer, on, queue } = context;
      const enqueue = (secret: Secret) => {
        if (secret.type === secretType) queue.add(keyOf(secret));
      };
      on("Secret", { added: enqueue, updated: (_, secret) => enqueue(secret) });
      on("ServiceAccount", {
        deleted({ metadata }) {
          for (const secret of informer("Secret").lister.list(metadata?.namespace)) {
            if (accountOf(secret) === metadata?.name) enqueue(secret);
          }
        },
      });
      return (key) => reconcile(context, sign, options.rootCa, key);
    },
  };
}

function accountOf(secret: Secret): string {
  return secret.metadata?.annotations?.[annotation.name] ?? "";
}

async function reconcile(
  context: ControllerContext,
  sign: TokenSigner,
  rootCa: string | undefined,
  key: string,
): Promise<void> {
  const { client, informer, log, write } = context;
  const { namespace = "", name } = splitKey(key);
  const secret = informer("Secret").lister.get(name, namespace);
  if (secret?.type !== secretType || secret.metadata?.deletionTimestamp !== undefined) return;
  const uid = await uidOfAccount(context, accountOf(secret), namespace);
  const claimed = secret.metadata?.annotations?.[annotation.uid];
  try {
    if (uid === undefined || (claimed !== undefined && claimed !== "" && claimed !== uid)) {
      log.info("removing the token of a service account that is gone", { secret: key });
      const preconditions = { uid: secret.metadata?.uid ?? "" };
      await client.secrets.delete(name, namespace, { ...write, preconditions });
      return;
    }
    const next = await filled(secret, uid, sign, rootCa);
    if (next !== undefined) await client.secrets.update(next, write);
  } catch (error) {
    // Gone already, or replaced by another of that name.
    if (!isNotFound(error) && !(isConflict(error) && uid === undefined)) throw error;
  }
}

/** Undefined: there is no such account, in the cache nor in the API. */
async function uidOfAccount(
  { client, informer }: ControllerContext,
  name: string,
  namespace: string,
): Promise<string | undefined> {
  const cached = informer("ServiceAccount").lister.get(name, namespace);
  if (cached !== undefined) return cached.metadata?.uid;
  try {
    return (await client.serviceAccounts.get(name, namespace)).metadata?.uid;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** The secret with all it must hold; undefined: it holds it. */
async function filled(
  secret: Secret,
  uid: string,
  sign: TokenSigner,
  rootCa: string | undefined,
): Promise<Secret | undefined> {
  const { metadata = {}, data = {} } = secret;
  const { namespace = "", name = "" } = metadata;
  const encoded = (text: string) => Buffer.from(text).toString("base64");
  const wanted = {
    namespace: encoded(namespace),
    ...(rootCa !== undefined && { "ca.crt": encoded(rootCa) }),
  };
  const complete =
    data["token"] &&
    metadata.annotations?.[annotation.uid] === uid &&
    Object.entries(wanted).every(([key, value]) => data[key] === value);
  if (complete) return undefined;
  const account = accountOf(secret);
  const token =
    data["token"] ||
    encoded(
      await sign({
        iss: issuer,
        sub: `system:serviceaccount:${namespace}:${account}`,
        [`${issuer}/namespace`]: namespace,
        [`${issuer}/secret.name`]: name,
        [`${issuer}/service-account.name`]: account,
        [`${issuer}/service-account.uid`]: uid,
      }),
    );
  return {
    ...secret,
    metadata: { ...metadata, annotations: { ...metadata.annotations, [annotation.uid]: uid } },
    data: { ...data, ...wanted, token },
  };
}
