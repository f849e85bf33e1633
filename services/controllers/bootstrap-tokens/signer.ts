import { createHmac } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { ConfigMap, Secret } from "../../../proto/gen/core.ts";
import { keyOf } from "../../client/mod.ts";
import type { Controller } from "../types.ts";
import {
  expiryOf,
  isTokenSecret,
  type SigningToken,
  signingToken,
  tokenNamespace,
} from "./token-secret.ts";

const mapNamespace = "kube-public";
const mapName = "cluster-info";
const configKey = "kubeconfig";
const signaturePrefix = "jws-kubeconfig-";
const waitMillisMax = 3_600_000;

/**
 * Signs the ConfigMap `cluster-info` with every bootstrap token that is for it, so that a machine
 * that knows a token can tell the cluster's certificate from a false one (upstream's
 * bootstrapsigner): `jws-kubeconfig-ID` holds a JSON web signature with detached payload.
 */
export function bootstrapSigner(workers: number): Controller {
  const key = `${mapNamespace}/${mapName}`;
  return {
    name: "bootstrap-signer",
    informers: ["ConfigMap", "Secret"],
    workers,
    start({ client, clock, informer, on, queue, write }) {
      const mapChanged = (map: ConfigMap) => {
        if (keyOf(map) === key) queue.add(key);
      };
      const tokenChanged = (secret: Secret) => {
        if (isTokenSecret(secret)) queue.add(key);
      };
      on("ConfigMap", { added: mapChanged, updated: (_, map) => mapChanged(map) });
      on("Secret", {
        added: tokenChanged,
        updated: (previous, secret) => {
          tokenChanged(previous);
          tokenChanged(secret);
        },
        deleted: tokenChanged,
      });
      return async () => {
        const map = informer("ConfigMap").lister.get(mapName, mapNamespace);
        const config = map?.data?.[configKey];
        if (map === undefined || config === undefined) return undefined;
        const now = clock.wallMillis();
        const secrets = informer("Secret").lister.list(tokenNamespace).filter(isTokenSecret);
        const tokens = secrets.flatMap((secret) => signingToken(secret, now) ?? []);
        const data = signed(map.data ?? {}, config, tokens);
        if (!isDeepStrictEqual(data, { ...map.data })) {
          await client.configMaps.update({ ...map, data }, write);
        }
        const ends = secrets.map((each) => expiryOf(each) ?? 0).filter((end) => end > now);
        if (ends.length === 0) return undefined;
        return { after: Math.min(Math.min(...ends) - now, waitMillisMax) };
      };
    },
  };
}

/** The data with the signatures of these tokens and of no others. */
function signed(
  data: Readonly<Record<string, string>>,
  config: string,
  tokens: readonly SigningToken[],
): Record<string, string> {
  const others = Object.entries(data).filter(([name]) => !name.startsWith(signaturePrefix));
  const signatures = tokens.map((token) => [
    signaturePrefix + token.id,
    detachedSignature(config, token),
  ]);
  return Object.fromEntries([...others, ...signatures]);
}

/** RFC 7515, appendix F: the payload is left out between the two dots. */
function detachedSignature(payload: string, { id, proof }: SigningToken): string {
  const header = base64url(JSON.stringify({ alg: "HS256", kid: id }));
  const signature = createHmac("sha256", proof)
    .update(`${header}.${base64url(payload)}`)
    .digest("base64url");
  return `${header}..${signature}`;
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
