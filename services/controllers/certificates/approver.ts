import type {
  CertificateSigningRequest,
  CertificateSigningRequestSpec,
} from "../../../proto/gen/certificates.ts";
import { keyOf, type TriremeClient } from "../../client/mod.ts";
import { rfc3339Seconds } from "../../kinds/facts.ts";
import type { Controller } from "../types.ts";
import { nodeNameOf, type Recognizer, recognizers } from "./recognizers.ts";
import { contentOf, has, signers } from "./requests.ts";

/** A right may be given later; a request that waits for it is looked at again after this. */
const againMillis = 30_000;

/** Approves the requests of kubelets that the cluster's roles and nodes allow. */
export function certificateApprover(workers: number): Controller {
  return {
    name: "certificate-approver",
    informers: ["CertificateSigningRequest", "Node"],
    workers,
    start({ client, clock, informer, log, on, queue, write }) {
      const requests = informer("CertificateSigningRequest").lister;
      on("CertificateSigningRequest", {
        added: (request) => queue.add(keyOf(request)),
        updated: (_, request) => queue.add(keyOf(request)),
      });
      // A kubelet may ask before its node says under which names it is reached.
      const nodeChanged = () => {
        for (const request of requests.list()) {
          if (request.spec?.signerName === signers.kubeletServing) queue.add(keyOf(request));
        }
      };
      on("Node", { added: nodeChanged, updated: nodeChanged });
      return async (name) => {
        const request = requests.get(name);
        if (request === undefined || !isUndecided(request)) return undefined;
        const content = contentOf(request);
        if (content === undefined) return undefined;
        const fitting = recognizers.filter((each) => each.recognizes(request, content));
        const node = informer("Node").lister.get(nodeNameOf(content));
        for (const each of fitting) {
          if (each.admits?.(content, node) === false) continue;
          if (!(await isAllowed(client, request.spec ?? {}, each.subresource))) continue;
          const approved = withApproval(request, each, clock.wallMillis());
          await client.updateApproval(approved, write);
          log.info("approved a certificate request", {
            request: name,
            subject: content.commonName,
          });
          return undefined;
        }
        return fitting.length === 0 ? undefined : { after: againMillis };
      };
    },
  };
}

function isUndecided(request: CertificateSigningRequest): boolean {
  if (request.status?.certificate) return false;
  return !has(request, "Approved") && !has(request, "Denied");
}

/** By the authorizers of the cluster, for who has asked. */
async function isAllowed(
  client: TriremeClient,
  { username, uid, groups, extra }: CertificateSigningRequestSpec,
  subresource: string | undefined,
): Promise<boolean> {
  if (subresource === undefined) return true;
  const about = { group: "certificates.k8s.io", resource: "certificatesigningrequests" };
  return await client.reviewAccess({
    ...{ user: username, uid, groups, extra },
    resourceAttributes: { ...about, subresource, verb: "create", version: "*" },
  });
}

function withApproval(
  request: CertificateSigningRequest,
  { message }: Recognizer,
  now: number,
): CertificateSigningRequest {
  const approved = {
    ...{ type: "Approved", status: "True", reason: "AutoApproved", message },
    lastUpdateTime: rfc3339Seconds(now),
  };
  const conditions = [...(request.status?.conditions ?? []), approved];
  return { ...request, status: { ...request.status, conditions } };
}
