import { isAlreadyExists, isNotFound, keyOf } from "../client/mod.ts";
import type { Controller } from "./types.ts";

const defaultName = "default";

/** Every namespace has the service account `default`, for pods that name none. */
export function serviceAccountController(workers: number): Controller {
  return {
    name: "service-account",
    informers: ["Namespace", "ServiceAccount"],
    workers,
    start({ client, informer, on, queue, write }) {
      on("Namespace", {
        added: (namespace) => queue.add(keyOf(namespace)),
        updated: (_, namespace) => queue.add(keyOf(namespace)),
      });
      on("ServiceAccount", {
        deleted: ({ metadata }) => {
          if (metadata?.name === defaultName) queue.add(metadata.namespace ?? "");
        },
      });
      return async (namespace) => {
        const found = informer("Namespace").lister.get(namespace);
        if (found === undefined || found.metadata?.deletionTimestamp !== undefined) return;
        if (informer("ServiceAccount").lister.get(defaultName, namespace) !== undefined) return;
        try {
          await client.serviceAccounts.create(
            { metadata: { name: defaultName, namespace } },
            write,
          );
        } catch (error) {
          // The cache lags behind, or the namespace goes.
          if (!isAlreadyExists(error) && !isNotFound(error)) throw error;
        }
      };
    },
  };
}
