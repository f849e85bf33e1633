import type { Route } from "./routes.ts";

/**
 * How services are proxied. `start` is called once, then `apply` whenever something has changed,
 * never twice at a time; it takes all routes and does what differs from the last call.
 */
export interface Mode {
  /** Nodes whose endpoints count as local for node ports. */
  readonly nodesAtAddress: ReadonlySet<string>;
  /** Whether proxies of the machine are frozen, so that this one takes what would be theirs. */
  readonly standingIn: boolean;
  start(): Promise<void>;
  /** Failures are told by other means (log, event) and tried again; it does not reject for them. */
  apply(routes: readonly Route[], zoneOf: (node: string) => string | undefined): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}
