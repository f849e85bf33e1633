/** What pods need of the API: the objects they name, and tokens. */
import { isNotFound, type TriremeClient } from "../../client/mod.ts";
import type { AccountToken, AccountTokenRequest } from "./account-tokens.ts";
import type { ConfigSource } from "./environment.ts";

const configReadMillis = 10_000;

type ConfigClient = Pick<
  TriremeClient,
  "configMaps" | "secrets" | "persistentVolumeClaims" | "persistentVolumes" | "resource"
>;

export function configSource(client: ConfigClient): ConfigSource {
  const options = { timeoutMillis: configReadMillis };
  const orNothing = (error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  };
  return {
    configMap: (namespace, name) =>
      client.configMaps.get(name, namespace, options).catch(orNothing),
    secret: (namespace, name) => client.secrets.get(name, namespace, options).catch(orNothing),
    claim: (namespace, name) =>
      client.persistentVolumeClaims.get(name, namespace, options).catch(orNothing),
    volume: (name) => client.persistentVolumes.get(name, undefined, options).catch(orNothing),
    csiDriver: (name) =>
      client.resource("CSIDriver").get(name, undefined, options).catch(orNothing),
    attachment: (name) =>
      client.resource("VolumeAttachment").get(name, undefined, options).catch(orNothing),
  };
}

/** The token ends with the pod. Throws what the API answers. */
export async function askForToken(
  client: Pick<TriremeClient, "createToken">,
  request: AccountTokenRequest,
): Promise<AccountToken> {
  const { namespace, serviceAccountName, podName, podUid: uid, audience } = request;
  const account = { namespace, name: serviceAccountName };
  const spec = {
    audiences: audience === "" ? [] : [audience],
    expirationSeconds: request.expirationSeconds,
    boundObjectRef: { apiVersion: "v1", kind: "Pod", name: podName, uid },
  };
  const options = { timeoutMillis: configReadMillis };
  const { status } = await client.createToken(account, spec, options);
  const { token = "", expirationTimestamp = "" } = status ?? {};
  return { token, expiresAtMillis: Date.parse(expirationTimestamp) };
}
