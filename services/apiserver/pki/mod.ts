/** Certificates for everybody in the cluster. */
export { type Authority, createAuthority } from "./authority.ts";
export {
  type ClusterLayout,
  ensureClusterPki,
} from "./components.ts";
export type { KeyPair, KeyPairFiles } from "./key-pair.ts";
export { ensureServiceAccountKey, type ServiceAccountKeyFiles } from "./service-account-key.ts";
