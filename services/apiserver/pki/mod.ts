/** Certificates for everybody in the cluster. */
export {
  type Authority,
  type CertificateRequest,
  type CertificateUse,
  checkCertificate,
  createAuthority,
  type KeyPair,
  type KeyPairFiles,
  loadKeyPair,
  writeKeyPair,
} from "./authority.ts";
export {
  type ClusterLayout,
  type ClusterPki,
  type Credential,
  clusterCredentials,
  ensureClusterPki,
  ensureCredential,
} from "./components.ts";
