/**
 * gRPC's service config (grpc/grpc-proto `service_config.proto`), as far as clients of several
 * equal servers need it. Without a retry policy gRPC hides the loss of a server only from calls
 * that no connection has carried yet, or that the server's goodbye says it has not begun; a call
 * under way when a server dies fails with UNAVAILABLE. Repeating it is right for reads, and for
 * writes whose metadata carry a `trireme-request-id` of the client's own: masters do those once.
 * The retries last under a second: a lost address must be dialled again sooner
 * (`grpc.initial_reconnect_backoff_ms`, a second by default), or a call that finds the other one
 * lost meanwhile has nowhere to go.
 */

/** Without a method: every one of the service; without a service: every one there is. */
export interface MethodName {
  readonly service?: string | undefined;
  readonly method?: string | undefined;
}

export interface ServiceConfigOptions {
  /** `pick_first` stays with one server while it is there; `round_robin` uses all of them. */
  readonly policy?: "pick_first" | "round_robin" | undefined;
  /** Methods that the client retries, on another endpoint if need be, after UNAVAILABLE. */
  readonly repeated?: readonly MethodName[] | undefined;
}

/** gRFC A6; five attempts are the most that gRPC makes. */
const retryPolicy = {
  maxAttempts: 5,
  initialBackoff: "0.05s",
  maxBackoff: "1s",
  backoffMultiplier: 2,
  retryableStatusCodes: ["UNAVAILABLE"],
};

/** For the channel option `grpc.service_config`. */
export function serviceConfig({ policy, repeated = [] }: ServiceConfigOptions): string {
  return JSON.stringify({
    loadBalancingConfig: [{ [policy ?? "pick_first"]: {} }],
    methodConfig: repeated.length === 0 ? [] : [{ name: repeated, retryPolicy }],
  });
}
