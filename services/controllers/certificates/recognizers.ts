/** Requests that may be approved without a person (upstream `certificates/approver`). */
import ipaddr from "ipaddr.js";
import type { CertificateSigningRequest } from "../../../proto/gen/certificates.ts";
import type { Node } from "../../../proto/gen/core.ts";
import type { CertificateRequestContent } from "../../kinds/mod.ts";
import { signers } from "./requests.ts";
import { kubeletClientRefusal, kubeletServingRefusal, signerRules } from "./signer-rules.ts";

export interface Recognizer {
  /** Who may create this subresource of requests is approved; absent: `admits` alone decides. */
  readonly subresource?: string | undefined;
  /** Of the condition. */
  readonly message: string;
  recognizes(request: CertificateSigningRequest, content: CertificateRequestContent): boolean;
  /** False: not now; a change of the node may change that. Absent: whatever the node is. */
  admits?(content: CertificateRequestContent, node: Node | undefined): boolean;
}

const kubeProxyName = "system:kube-proxy";
const nodesGroup = "system:nodes";
const nodePrefix = "system:node:";

/** In this order; the first one that recognizes a request and allows it approves it. */
export const recognizers: readonly Recognizer[] = [
  {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
    recognizes: (request, content) =>
      isNodeClient(request, content) && request.spec?.username === content.commonName,
  },
  {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
    recognizes: isNodeClient,
  },
  {
    subresource: "kubeproxyclient",
    message: "Auto approving kube-proxy client certificate after SubjectAccessReview.",
    recognizes: (request, content) =>
      isFor(request, signers.client) &&
      signerRules.get(signers.client)?.(content, request.spec?.usages ?? []) === undefined &&
      content.commonName === kubeProxyName &&
      content.organizations.length === 0,
  },
  {
    message: "Auto approving kubelet serving certificate for the names of its own node.",
    recognizes: (request, content) =>
      isFor(request, signers.kubeletServing) &&
      kubeletServingRefusal(content, request.spec?.usages ?? []) === undefined &&
      request.spec?.username === content.commonName &&
      (request.spec?.groups ?? []).includes(nodesGroup),
    admits: (content, node) => node !== undefined && areNamesOf(node, content),
  },
];

/** Name of the node that the request is about. */
export function nodeNameOf({ commonName }: CertificateRequestContent): string {
  return commonName.startsWith(nodePrefix) ? commonName.slice(nodePrefix.length) : "";
}

function isFor({ spec }: CertificateSigningRequest, signer: string): boolean {
  return spec?.signerName === signer;
}

function isNodeClient(
  request: CertificateSigningRequest,
  content: CertificateRequestContent,
): boolean {
  if (!isFor(request, signers.kubeletClient)) return false;
  return kubeletClientRefusal(content, request.spec?.usages ?? []) === undefined;
}

/** Every name and address is one that the node has in its status. */
function areNamesOf(node: Node, { names }: CertificateRequestContent): boolean {
  const own = node.status?.addresses ?? [];
  const known = new Set(own.map(({ address = "" }) => canonical(address)));
  known.add(node.metadata?.name ?? "");
  const addresses = names.addresses.map((bytes) => ipaddr.fromByteArray([...bytes]).toString());
  return [...names.dns, ...addresses].every((name) => known.has(name));
}

function canonical(address: string): string {
  return ipaddr.isValid(address) ? ipaddr.parse(address).toString() : address;
}
