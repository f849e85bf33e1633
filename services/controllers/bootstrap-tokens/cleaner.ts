import { isConflict, isNotFound, keyOf, splitKey } from "../../client/mod.ts";
import type { Controller } from "../types.ts";
import { expiryOf, isTokenSecret } from "./token-secret.ts";

/** A longer wait is made in steps, as timers hold no more than 24 days. */
const waitMillisMax = 3_600_000;

/** Removes bootstrap tokens when they expire (upstream's tokencleaner). */
export function tokenCleaner(workers: number): Controller {
  return {
    name: "token-cleaner",
    informers: ["Secret"],
    workers,
    start({ client, clock, informer, on, queue, write }) {
      on("Secret", {
        added: (secret) => {
          if (isTokenSecret(secret)) queue.add(keyOf(secret));
        },
        updated: (_, secret) => {
          if (isTokenSecret(secret)) queue.add(keyOf(secret));
        },
      });
      return async (key) => {
        const { name, namespace } = splitKey(key);
        const secret = informer("Secret").lister.get(name, namespace);
        if (secret === undefined || !isTokenSecret(secret)) return undefined;
        const expiry = expiryOf(secret);
        if (expiry === undefined) return undefined;
        const left = expiry - clock.wallMillis();
        if (left > 0) return { after: Math.min(left, waitMillisMax) };
        const { uid = "", resourceVersion = "" } = secret.metadata ?? {};
        try {
          const preconditions = { uid, resourceVersion };
          await client.secrets.delete(name, namespace, { ...write, preconditions });
        } catch (error) {
          // Gone already, or prolonged this moment: then its event comes.
          if (!isNotFound(error) && !isConflict(error)) throw error;
        }
        return undefined;
      };
    },
  };
}
