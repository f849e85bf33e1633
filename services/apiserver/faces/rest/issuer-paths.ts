/** What others need to prove tokens of service accounts (OpenID Connect Discovery 1.0). */
import type { ServiceAccountTokens } from "../../auth/service-accounts/tokens.ts";
import type { PathTable } from "./paths.ts";
import type { RestResponse } from "./types.ts";

export function addIssuerPaths(table: PathTable, tokens: ServiceAccountTokens | undefined): void {
  if (tokens === undefined) return;
  const configuration = Buffer.from(JSON.stringify(tokens.configuration));
  const keys = Buffer.from(JSON.stringify(tokens.keySet));
  table.add("/.well-known/openid-configuration", () => {
    return cacheable("application/json", configuration);
  });
  table.add("/openid/v1/jwks", () => cacheable("application/jwk-set+json", keys));
}

function cacheable(contentType: string, body: Uint8Array): RestResponse {
  const headers = [
    ["content-type", contentType],
    ["cache-control", "public, max-age=3600"],
  ] as const;
  return { status: 200, headers, body };
}
