import type { Job } from "../../proto/gen/batch.ts";
import { isConflict, isNotFound, keyOf, splitKey } from "../client/mod.ts";
import { parseTime } from "../kinds/facts.ts";
import { isJobFinished } from "./job/finished.ts";
import type { Controller, ControllerContext } from "./types.ts";

/** Deletes finished jobs, and their pods, `ttlSecondsAfterFinished` after their end. */
export function ttlAfterFinishedController(workers: number): Controller {
  return {
    name: "ttl-after-finished",
    informers: ["Job"],
    workers,
    start(context) {
      const { on, queue, informer, clock } = context;
      const see = (job: Job) => {
        if (expiryMillis(job) !== undefined) queue.add(keyOf(job));
      };
      on("Job", { added: see, updated: (_, job) => see(job) });
      return async (key) => {
        const { name, namespace } = splitKey(key);
        const job = informer("Job").lister.get(name, namespace);
        const expiry = job && expiryMillis(job);
        if (job === undefined || expiry === undefined) return undefined;
        const left = expiry - clock.wallMillis();
        if (left > 0) return { after: left };
        await remove(context, job);
        return undefined;
      };
    },
  };
}

/** Undefined: the job stays. */
function expiryMillis(job: Job): number | undefined {
  const { ttlSecondsAfterFinished: seconds } = job.spec ?? {};
  if (seconds === undefined || !isJobFinished(job) || job.metadata?.deletionTimestamp) {
    return undefined;
  }
  const end = job.status?.conditions?.find(
    ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
  );
  const since = parseTime(end?.lastTransitionTime);
  return since === undefined ? undefined : since + seconds * 1000;
}

/** Only the job as it was seen: its author may have given it more time meanwhile. */
async function remove({ client, write }: ControllerContext, { metadata }: Job): Promise<void> {
  const { name = "", namespace, uid = "", resourceVersion = "" } = metadata ?? {};
  const preconditions = { uid, resourceVersion };
  try {
    const options = { ...write, propagationPolicy: "Foreground" as const, preconditions };
    await client.jobs.delete(name, namespace, options);
  } catch (error) {
    // Changed or gone: a change brings the key back.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
