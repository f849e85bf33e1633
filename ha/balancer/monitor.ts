/** One `Cluster/WatchStatus` stream to one master, opened again for ever with bounded backoff. */
import { ClusterClient, type MemberStatus } from "../../proto/gen/cluster.ts";
import type { ClientTls } from "../rpc/address.ts";
import { connect, serverStreamIterable } from "../rpc/client.ts";
import type { Log } from "../runtime/types.ts";
import type { BalancerLimits } from "./limits.ts";

export interface MonitorOptions {
  readonly address: string;
  readonly tls?: ClientTls | undefined;
  readonly log: Log;
  readonly limits: BalancerLimits;
  /** The status, or undefined as soon as the stream is broken. */
  changed(status: MemberStatus | undefined): void;
}

/** Returns what stops it. */
export function monitor(options: MonitorOptions): () => void {
  const { address, tls, limits } = options;
  const client = connect(ClusterClient, {
    addresses: [address],
    tls,
    reconnectMinMillis: limits.redialMinMillis,
    reconnectMaxMillis: limits.redialMaxMillis,
    keepaliveMillis: limits.pingMillis,
    keepaliveTimeoutMillis: limits.pingTimeoutMillis,
  });
  const abort = new AbortController();
  void follow(client, options, abort.signal);
  return () => {
    abort.abort();
    client.close();
  };
}

async function follow(
  client: ClusterClient,
  options: MonitorOptions,
  signal: AbortSignal,
): Promise<void> {
  const { limits, log } = options;
  let delay: number = limits.redialMinMillis;
  while (!signal.aborted) {
    try {
      for await (const status of serverStreamIterable(client, "watchStatus", {}, { signal })) {
        delay = limits.redialMinMillis;
        options.changed(status);
      }
    } catch (error) {
      // A master that is down is an everyday event; `changed` tells those whom it concerns.
      log.debug("status stream broken", { address: options.address, error: String(error) });
    }
    if (signal.aborted) return;
    options.changed(undefined);
    await pause(delay, signal);
    delay = Math.min(delay * 2, limits.redialMaxMillis);
  }
}

function pause(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, millis);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
