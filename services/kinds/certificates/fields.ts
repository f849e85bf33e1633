/** What becomes of the fields of a CertificateSigningRequest. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const signer = "the controllers that approve and sign requests, or a signer of your own";
const server = "the apiserver sets it and overrides what a caller sends";

export const certificatesFields: SupportTable = {
  "trireme.certificates.v1.CertificateSigningRequest": {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(signer, "spec status"),
  },
  "trireme.certificates.v1.CertificateSigningRequestSpec": {
    ...behaves(signer, "request signerName expirationSeconds usages"),
    ...behaves(server, "username uid groups extra"),
  },
  "trireme.certificates.v1.CertificateSigningRequestStatus": behaves(
    signer,
    "conditions certificate",
  ),
  "trireme.certificates.v1.CertificateSigningRequestCondition": behaves(
    signer,
    "type status reason message lastUpdateTime lastTransitionTime",
  ),
};
