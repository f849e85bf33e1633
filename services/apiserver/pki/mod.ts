/** Certificates for everybody in the cluster. */
export {
  type Authority,
  checkCertificate,
  createAuthority,
  type KeyPair,
  type KeyPairFiles,
} from "./authority.ts";
export {
  type ClusterLayout,
  ensureClusterPki,
} from "./components.ts";
export { ensureServiceAccountKey, type ServiceAccountKeyFiles } from "./service-account-key.ts";
