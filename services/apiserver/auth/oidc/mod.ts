/** Users of an OpenID Connect provider. */
import type { Clock, Log } from "../../../../ha/runtime/types.ts";
import type { TokenAuthenticator } from "../bearer.ts";
import { oidcAuthenticator } from "./authenticator.ts";
import { httpsJson, KeySource } from "./key-source.ts";
import type { OidcOptions } from "./options.ts";

export { type OidcOptions, oidcOptions } from "./options.ts";

/** Looks for the provider's keys until it is closed; until they are found its tokens are refused. */
export function openOidc(
  options: OidcOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): { readonly authenticator: TokenAuthenticator; close(): void } {
  const fetch = httpsJson(options.ca);
  const keys = new KeySource({ issuer: options.issuer, fetch, clock, log });
  void keys.start();
  const authenticator = oidcAuthenticator(options, keys, () => clock.wallMillis());
  return { authenticator, close: () => keys.close() };
}
