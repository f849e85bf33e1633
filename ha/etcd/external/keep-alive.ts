/** One sign of life for a lease: etcd takes them on a stream only. */
import type { LeaseClient, LeaseKeepAliveResponse } from "../../../proto/gen/etcd.ts";
import { type CallSettings, fromServiceError } from "../../rpc/mod.ts";
import type { LeaseId } from "../../store/mod.ts";
import { unexpectedAnswer } from "./failures.ts";

export function keepAliveOnce(
  client: LeaseClient,
  lease: LeaseId,
  { metadata, deadlineMillis }: CallSettings,
): Promise<LeaseKeepAliveResponse> {
  return new Promise((resolve, reject) => {
    const options = deadlineMillis === undefined ? {} : { deadline: Date.now() + deadlineMillis };
    const stream = metadata
      ? client.leaseKeepAlive(metadata, options)
      : client.leaseKeepAlive(options);
    // The first of these settles the promise; what the stream's end says after that tells nothing.
    stream.on("data", (answer: LeaseKeepAliveResponse) => {
      resolve(answer);
      stream.cancel();
    });
    stream.on("error", (error) => reject(fromServiceError(error)));
    stream.on("end", () => reject(unexpectedAnswer("a keep-alive without answer")));
    stream.write({ ID: lease });
    stream.end();
  });
}
