/** The profiles, each defined once, for any target that has its kinds. */
import type { ObjectKind, Operation } from "./operations.ts";

export interface Profile {
  readonly about: string;
  /** Which operation how often, by weight. One client makes them in an order of its own. */
  readonly mix: readonly { readonly weight: number; readonly operation: Operation }[];
  /** `chain`: a client makes the operations one after the other, whatever their weights. */
  readonly chain?: true;
  /** Objects that are made beforehand: so many unless `--objects` says otherwise. */
  readonly fill?: { readonly kind: ObjectKind; readonly count: number };
  /** Watches of all objects of the kind, held open all the time; so many by default. */
  readonly watchers?: { readonly kind: ObjectKind; readonly count: number };
  /** The p99 that Kubernetes' objectives allow: 1 s for one object, 30 s for lists of many. */
  readonly sloMillis: number;
}

const one = (operation: Operation) => [{ weight: 1, operation }];
const createConfigMap = { verb: "create", kind: "configmaps", naming: "new" } as const;
const createPod = { verb: "create", kind: "pods", naming: "new" } as const;
const getConfigMap = { verb: "get", kind: "configmaps", naming: "filled" } as const;

export const profiles: Readonly<Record<string, Profile>> = {
  put: {
    about: "new ConfigMaps of 256 bytes; keys in etcd",
    mix: one(createConfigMap),
    sloMillis: 1_000,
  },
  get: {
    about: "linearizable reads of one of 100 ConfigMaps",
    mix: one(getConfigMap),
    fill: { kind: "configmaps", count: 100 },
    sloMillis: 1_000,
  },
  mixed: {
    about: "70 % reads, 15 % updates, 10 % new ConfigMaps, 5 % lists of 50",
    mix: [
      { weight: 70, operation: getConfigMap },
      { weight: 15, operation: { verb: "update", kind: "configmaps", naming: "filled" } },
      { weight: 10, operation: createConfigMap },
      { weight: 5, operation: { verb: "list", kind: "configmaps", naming: "new", limit: 50 } },
    ],
    fill: { kind: "configmaps", count: 500 },
    sloMillis: 1_000,
  },
  list: {
    about: "whole lists of 500 ConfigMaps",
    mix: one({ verb: "list", kind: "configmaps", naming: "new" }),
    fill: { kind: "configmaps", count: 500 },
    sloMillis: 30_000,
  },
  "watch-fanout": {
    about: "new ConfigMaps, each of which 100 watchers see",
    mix: one(createConfigMap),
    watchers: { kind: "configmaps", count: 100 },
    sloMillis: 1_000,
  },
  "pods-create": {
    about: "new pods of 2 KB that no scheduler takes",
    mix: one(createPod),
    sloMillis: 1_000,
  },
  "pods-churn": {
    about: "pods that are made and at once deleted",
    mix: [
      { weight: 1, operation: createPod },
      { weight: 1, operation: { verb: "delete", kind: "pods", naming: "made" } },
    ],
    chain: true,
    sloMillis: 1_000,
  },
  "nodes-heartbeat": {
    about: "renewals of the leases of 1,000 nodes",
    mix: one({ verb: "patch", kind: "leases", naming: "filled" }),
    fill: { kind: "leases", count: 1_000 },
    sloMillis: 1_000,
  },
  "relist-storm": {
    about: "all clients list 1,000 pods at once, as after an outage",
    mix: one({ verb: "list", kind: "pods", naming: "new" }),
    fill: { kind: "pods", count: 1_000 },
    sloMillis: 30_000,
  },
};
