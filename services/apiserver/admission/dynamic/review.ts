/** A request in the words of `AdmissionRequest` (admission.k8s.io/v1). */
import { apiVersionOf, type Document, type Resource, storageOf } from "../../../kinds/mod.ts";
import { userInfoOf } from "../../user-info.ts";
import type { AdmissionRequest } from "../chain.ts";

const optionKinds = {
  create: "CreateOptions",
  update: "UpdateOptions",
  delete: "DeleteOptions",
} as const;

/** `resource`: as whose objects they are shown; `uid`: of this one question. */
export function reviewRequest(
  request: AdmissionRequest,
  resource: Resource,
  uid: string,
): Record<string, unknown> {
  const { operation, subresource, namespace, name, dryRun, manager } = request;
  const kind = kindOf(request, resource);
  const requestKind = kindOf(request, request.resource);
  const requestResource = resourceOf(request.resource);
  return {
    uid,
    kind,
    resource: resourceOf(resource),
    ...(subresource !== "" && { subResource: subresource }),
    requestKind,
    requestResource,
    ...(subresource !== "" && { requestSubResource: subresource }),
    ...(name !== "" && { name }),
    ...(namespace !== "" && { namespace }),
    operation: operation.toUpperCase(),
    userInfo: userInfoOf(request.user),
    dryRun,
    options:
      operation === "connect"
        ? null
        : {
            kind: optionKinds[operation],
            apiVersion: "meta.k8s.io/v1",
            ...(dryRun && { dryRun: ["All"] }),
            ...(manager !== undefined && operation !== "delete" && { fieldManager: manager }),
          },
  };
}

/** Options of a connection, and bodies of subresources, are of kinds of their own. */
function kindOf(request: AdmissionRequest, resource: Resource) {
  const given = request.subresource === "" ? undefined : request.document;
  const { apiVersion = apiVersionOf(resource), kind = resource.kind } = given ?? {};
  const parts = apiVersion.split("/");
  const [group, version] = parts.length === 1 ? ["", apiVersion] : parts;
  return { group, version, kind };
}

function resourceOf({ group, version, plural }: Resource) {
  return { group, version, resource: plural };
}

/** An object of one resource as another one shows it that is stored alike. */
export async function converted(
  document: Document | undefined,
  from: Resource,
  to: Resource,
): Promise<Document | undefined> {
  if (document === undefined || from === to) return document;
  const copy = structuredClone(document);
  const { storedAs } = from;
  const stored =
    storedAs?.remote === undefined
      ? (storedAs?.toStored(copy) ?? copy)
      : await storedAs.remote.toStored(copy);
  if (to.storedAs?.remote === undefined) return to.storedAs?.fromStored(stored) ?? stored;
  const [shown] = await to.storedAs.remote.fromStored([stored]);
  return shown;
}

/** Whether the documents are objects of the resource, and no options or bodies of a subresource. */
export function isAboutObject({ operation, document, resource }: AdmissionRequest): boolean {
  if (operation === "connect") return false;
  return document === undefined || document.kind === resource.kind;
}

/** Whether objects of both are the same ones. */
export function isEquivalent(one: Resource, other: Resource): boolean {
  return storageOf(one) === storageOf(other);
}
