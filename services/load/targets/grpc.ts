/** Trireme's gRPC API. */
import { LeasesService } from "../../../proto/gen/coordination.ts";
import { ConfigMapsService, NamespacesService, PodsService } from "../../../proto/gen/core.ts";
import { namePlace, RequestTemplate, stampPlace } from "../client/mod.ts";
import {
  mergePatch,
  type ObjectKind,
  type Operation,
  objectOf,
  type Place,
  patchOf,
  type Verb,
} from "../operations.ts";
import { type Protocol, schemeOf, type TargetAddress } from "./target.ts";

interface Method {
  readonly path: string;
  readonly requestSerialize: (value: never) => Buffer;
}

type Methods = Readonly<Record<Verb | "watch", Method>>;

const services: Readonly<Record<ObjectKind, Methods>> = {
  configmaps: ConfigMapsService,
  pods: PodsService,
  leases: LeasesService,
};

function request(to: TargetAddress, { path, requestSerialize }: Method, value: object) {
  const [authority = ""] = to.addresses;
  const fields = to.token === undefined ? [] : ["authorization", `Bearer ${to.token}`];
  const message = requestSerialize(value as never);
  return RequestTemplate.grpc({ scheme: schemeOf(to), authority, path }, message, fields);
}

function messageOf({ verb, kind, limit }: Operation, place: Place): object {
  const { namespace, prefix } = place;
  const name = prefix + namePlace;
  if (verb === "create" || verb === "update") {
    return { object: objectOf(kind, place, name, stampPlace) };
  }
  if (verb === "patch") {
    const patch = Buffer.from(JSON.stringify(patchOf(kind, place, stampPlace)));
    return { name, namespace, patchType: mergePatch, patch };
  }
  if (verb === "list") return { namespace, ...(limit !== undefined && { limit }) };
  return { name, namespace };
}

export const grpc: Protocol = {
  wire: "grpc",
  kinds: ["configmaps", "pods", "leases"],
  template: (to, place, operation) =>
    request(to, services[operation.kind][operation.verb], messageOf(operation, place)),
  watch: (to, { namespace }, kind) => request(to, services[kind].watch, { namespace }),
  before: (to, { namespace }) => [
    request(to, NamespacesService.create, { object: { metadata: { name: namespace } } }),
  ],
  after: (to, { namespace }) => [request(to, NamespacesService.delete, { name: namespace })],
};
