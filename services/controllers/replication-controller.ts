import type { ReplicaSet } from "../../proto/gen/apps.ts";
import type { ReplicationController } from "../../proto/gen/core.ts";
import { keepReplicas, type ReplicaKind } from "./replica-set.ts";
import type { Controller, ControllerContext } from "./types.ts";

/** Keeps as many pods as each ReplicationController wants, just as for ReplicaSets. */
export function replicationController(workers: number): Controller {
  return {
    name: "replication",
    informers: ["ReplicationController", "Pod"],
    workers,
    start: (context) => keepReplicas(context, replicationControllers(context)),
  };
}

function replicationControllers(context: ControllerContext): ReplicaKind {
  const { client, informer, on, write } = context;
  const { lister } = informer("ReplicationController");
  return {
    apiVersion: "v1",
    kind: "ReplicationController",
    cached(name, namespace) {
      const controller = lister.get(name, namespace);
      return controller && asSet(controller);
    },
    read: async (name, namespace) =>
      asSet(await client.replicationControllers.get(name, namespace)),
    list: (namespace) => lister.list(namespace).map(asSet),
    watch(changed, gone) {
      on("ReplicationController", {
        added: (controller) => changed(asSet(controller)),
        updated: (_, controller) => changed(asSet(controller)),
        deleted: (controller) => gone(asSet(controller)),
      });
    },
    async writeStatus(set, { terminatingReplicas: _, ...status }) {
      const { spec, ...rest } = set;
      const { selector, ...others } = spec ?? {};
      const labels = selector?.matchLabels;
      const restored = { ...others, ...(labels && { selector: labels }) };
      await client.replicationControllers.updateStatus({ ...rest, spec: restored, status }, write);
    },
  };
}

/** The selector is the older one: only labels. */
function asSet({ spec, ...rest }: ReplicationController): ReplicaSet {
  const { selector, ...others } = spec ?? {};
  return { ...rest, spec: { ...others, selector: { matchLabels: selector ?? {} } } };
}
