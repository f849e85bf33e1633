/** etcd's API: Trireme's etcd port, and that of an etcd. A ConfigMap is a key with its value. */
import { KVService, WatchService } from "../../../proto/gen/etcd.ts";
import { namePlace, RequestTemplate, stampPlace } from "../client/mod.ts";
import { type Operation, objectOf, type Place } from "../operations.ts";
import { type Protocol, schemeOf, type TargetAddress } from "./target.ts";

interface Method {
  readonly path: string;
  readonly requestSerialize: (value: never) => Buffer;
}

function request(to: TargetAddress, method: Method, value: object, open = false) {
  const [authority = ""] = to.addresses;
  const where = { scheme: schemeOf(to), authority, path: method.path };
  return RequestTemplate.grpc(where, method.requestSerialize(value as never), [], open);
}

/** All keys of the run: those from `namespace/` to `namespace0`, the next possible beginning. */
function range({ namespace }: Place) {
  return { key: Buffer.from(`${namespace}/`), rangeEnd: Buffer.from(`${namespace}0`) };
}

function templateOf(to: TargetAddress, place: Place, operation: Operation): RequestTemplate {
  const key = Buffer.from(`${place.namespace}/${place.prefix}${namePlace}`);
  switch (operation.verb) {
    case "create":
    case "update":
    case "patch": {
      const document = objectOf(operation.kind, place, "", stampPlace) as { data?: object };
      const [value = ""] = Object.values<string>({ ...document.data });
      return request(to, KVService.put, { key, value: Buffer.from(value) });
    }
    case "get":
      return request(to, KVService.range, { key });
    case "delete":
      return request(to, KVService.deleteRange, { key });
    case "list": {
      const limit = operation.limit === undefined ? {} : { limit: BigInt(operation.limit) };
      return request(to, KVService.range, { ...range(place), ...limit });
    }
  }
}

export const etcd: Protocol = {
  wire: "grpc",
  kinds: ["configmaps"],
  template: templateOf,
  watch: (to, place) => {
    const create = { $case: "createRequest", value: range(place) } as const;
    return request(to, WatchService.watch, { requestUnion: create }, true);
  },
  before: () => [],
  after: (to, place) => [request(to, KVService.deleteRange, range(place))],
};
