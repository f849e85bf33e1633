/** How a drill's load asks for things: one interface over the gRPC API, the REST API and etcd's. */
import type { WireCall } from "../../../ha/rpc/channel/channel.ts";
import type { ClientTls } from "../../../ha/rpc/mod.ts";
import type { SeenChange } from "../evidence.ts";
import type { FaceName } from "../world/world.ts";

/** One try of a call. */
export interface Attempt {
  /** Which address is asked. */
  readonly door: number;
  /** The same for all attempts of one write. */
  readonly requestId: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly millis: number;
}

export interface ReadAnswer {
  /** Undefined: there is no such key. */
  readonly value: string | undefined;
  readonly revision?: number | undefined;
}

export interface SeenBatch {
  /** Everything up to here has been delivered. */
  readonly revision: number;
  readonly events: readonly SeenChange[];
}

/**
 * Keys are short lowercase words; each face makes of them what it stores. Every method rejects with
 * a StatusError. A write answers the revision at which it was done.
 */
export interface Face {
  readonly name: FaceName;
  readonly doors: number;
  /** Makes the place where the keys are. */
  prepare(attempt: Attempt): Promise<void>;
  create(key: string, value: string, attempt: Attempt): Promise<number>;
  write(key: string, value: string, attempt: Attempt): Promise<number>;
  read(key: string, attempt: Attempt): Promise<ReadAnswer>;
  /** All keys with their values, as of one revision. */
  list(): Promise<{ readonly entries: Record<string, string>; readonly revision: number }>;
  /**
   * Changes after a revision; ends or throws when the connection does. Throws `outOfRange` when the
   * revision is too old.
   */
  watch(after: number, door: number, signal: AbortSignal): AsyncIterable<SeenBatch>;
  /** Takes away what `prepare` and the load have made. */
  remove(attempt: Attempt): Promise<void>;
  close(): void;
}

export interface FaceOptions {
  readonly addresses: readonly string[];
  readonly tls: ClientTls | undefined;
  /** Names the place of the keys. */
  readonly run: string;
}

/**
 * Connections of a drill are always there, as those of a program that calls now and then, and a
 * silent one is found out about soon.
 */
export const connections = {
  kept: true,
  reconnectMinMillis: 20,
  reconnectMaxMillis: 200,
  keepaliveMillis: 700,
  keepaliveTimeoutMillis: 500,
} as const;

/** How long what is asked before and after the load may take. */
export const setUpMillisMax = 15_000;

/** What an attempt says of itself, and until when it waits. */
export function attemptCall({ requestId, attempt, millis }: Attempt): WireCall {
  const fields = ["trireme-request-id", requestId];
  if (attempt > 1) fields.push("trireme-attempt", String(attempt));
  return { fields, deadline: Date.now() + millis };
}

/** A call without an identity, which is not repeated. */
export function within(millis: number): WireCall {
  return { fields: [], deadline: Date.now() + millis };
}
