/** The kinds with a typed service, as the contracts tell of them. */
import type { MethodDefinition } from "@grpc/grpc-js";
import type {
  DeleteRequest,
  GetRequest,
  ListMeta,
  ListRequest,
  PatchRequest,
  Status,
  WatchRequest,
  WriteOptions as WireWriteOptions,
} from "../../proto/gen/meta.ts";
import { type KindTypes, kindCode } from "../../proto/gen/resources.ts";
import type { Verb } from "../../proto/gen/schema.ts";
import type { ApiObject } from "./types.ts";

interface Write<T> {
  object?: T | undefined;
  namespace?: string | undefined;
  options?: WireWriteOptions | undefined;
}

/** The methods of a typed client. */
interface KindService<T> {
  readonly get: MethodDefinition<GetRequest, T>;
  readonly list: MethodDefinition<
    ListRequest,
    { metadata?: ListMeta | undefined; items?: T[] | undefined }
  >;
  readonly watch: MethodDefinition<
    WatchRequest,
    { type?: string | undefined; object?: T | undefined }
  >;
  readonly create: MethodDefinition<Write<T>, T>;
  readonly update: MethodDefinition<Write<T>, T>;
  readonly updateStatus: MethodDefinition<Write<T>, T>;
  readonly patch: MethodDefinition<PatchRequest, T>;
  readonly delete: MethodDefinition<DeleteRequest, Status>;
}

/** The kinds with a typed client. One that lacks some of the verbs has its generated service alone. */
export type KindName = {
  [K in keyof KindTypes]: (typeof kindCode)[K]["service"] extends KindService<KindTypes[K]>
    ? K
    : never;
}[keyof KindTypes];

/** The object type of each kind. */
export type ObjectTypes = Pick<KindTypes, KindName>;

export interface Resource<T extends ApiObject> {
  readonly apiVersion: string;
  /** As typed clients know it: the kind's group stands behind it where its name is taken. */
  readonly kind: KindName;
  /** As its objects carry it. */
  readonly objectKind: string;
  readonly plural: string;
  /** Name of the kind's property in typed clients. */
  readonly property: string;
  readonly namespaced: boolean;
  readonly service: KindService<T>;
}

export type Resources = { readonly [K in KindName]: Resource<ObjectTypes[K]> };

const services: { readonly [K in KindName]: { readonly service: KindService<ObjectTypes[K]> } } =
  kindCode;

const verbs: readonly Verb[] = ["get", "list", "watch", "create", "update", "patch", "delete"];

export const kindNames = (Object.keys(kindCode) as KindName[]).filter((kind) =>
  verbs.every((verb) => kindCode[kind].schema.verbs.includes(verb)),
) as readonly KindName[];

export const resources = Object.fromEntries(
  kindNames.map((kind) => {
    const {
      group,
      version,
      plural,
      property,
      namespaced,
      kind: objectKind,
    } = kindCode[kind].schema;
    const apiVersion = group === "" ? version : `${group}/${version}`;
    const { service } = services[kind];
    return [kind, { apiVersion, kind, objectKind, plural, property, namespaced, service }];
  }),
) as unknown as Resources;
