/** Kubernetes' REST API: Trireme's, and that of any other apiserver. */
import { namePlace, RequestTemplate, stampPlace } from "../client/mod.ts";
import {
  mergePatch,
  type ObjectKind,
  type Operation,
  objectOf,
  type Place,
  patchOf,
} from "../operations.ts";
import { type Protocol, schemeOf, type TargetAddress } from "./target.ts";

const methods = {
  ...{ create: "POST", get: "GET", list: "GET", update: "PUT", patch: "PATCH", delete: "DELETE" },
} as const;

const groups: Readonly<Record<ObjectKind, string>> = {
  configmaps: "/api/v1",
  pods: "/api/v1",
  leases: "/apis/coordination.k8s.io/v1",
};

function request(
  to: TargetAddress,
  method: string,
  path: string,
  document?: object,
  contentType = "application/json",
) {
  const [authority = ""] = to.addresses;
  const fields = ["accept", "application/json", "user-agent", "trireme-load/1"];
  if (to.token !== undefined) fields.push("authorization", `Bearer ${to.token}`);
  const body = document === undefined ? undefined : Buffer.from(JSON.stringify(document));
  const where = { scheme: schemeOf(to), authority, path: (to.pathPrefix ?? "") + path };
  return RequestTemplate.rest({ method, ...where }, body, fields, contentType);
}

function collection(kind: ObjectKind, { namespace }: Place): string {
  return `${groups[kind]}/namespaces/${namespace}/${kind}`;
}

function templateOf(to: TargetAddress, place: Place, operation: Operation): RequestTemplate {
  const { verb, kind, limit } = operation;
  const name = place.prefix + namePlace;
  const path = collection(kind, place);
  const object = () => objectOf(kind, place, name, stampPlace);
  switch (verb) {
    case "create":
      return request(to, methods[verb], path, object());
    case "list":
      return request(to, methods[verb], limit === undefined ? path : `${path}?limit=${limit}`);
    case "update":
      return request(to, methods[verb], `${path}/${name}`, object());
    case "patch": {
      const patch = patchOf(kind, place, stampPlace);
      return request(to, methods[verb], `${path}/${name}`, patch, mergePatch);
    }
    case "get":
    case "delete":
      return request(to, methods[verb], `${path}/${name}`);
  }
}

export const rest: Protocol = {
  wire: "rest",
  kinds: ["configmaps", "pods", "leases"],
  template: templateOf,
  watch: (to, place, kind) => request(to, "GET", `${collection(kind, place)}?watch=true`),
  before: (to, { namespace }) => {
    const document = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } };
    return [request(to, "POST", "/api/v1/namespaces", document)];
  },
  after: (to, { namespace }) => [request(to, "DELETE", `/api/v1/namespaces/${namespace}`)],
};
