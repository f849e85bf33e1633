import type { FencingToken } from "../../ha/election/mod.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type {
  EventRecorder,
  Informer,
  InformerHandlers,
  KindName,
  LoopClock,
  ObjectTypes,
  TriremeClient,
  WorkQueue,
} from "../client/mod.ts";

/** What a controller is given for as long as this process leads. */
export interface ControllerContext {
  readonly client: TriremeClient;
  readonly queue: WorkQueue;
  readonly recorder: EventRecorder;
  readonly clock: LoopClock;
  readonly log: Log;
  /** Aborts when leadership ends. */
  readonly signal: AbortSignal;
  /** Options of every write: the fence refuses it once another leads. */
  readonly write: { readonly fence: FencingToken | undefined; readonly signal: AbortSignal };
  /** The shared cache of a kind. */
  informer<K extends KindName>(kind: K): Informer<ObjectTypes[K]>;
  /** Handlers that enqueue keys, taken off when leadership ends. */
  on<K extends KindName>(kind: K, handlers: InformerHandlers<ObjectTypes[K]>): void;
}

/** Brings what the key names one step towards what is wanted. Idempotent; throws to be repeated. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<void>;

/** Every controller has this shape: which caches it reads, what enqueues keys, what is done. */
export interface Controller {
  readonly name: string;
  readonly informers: readonly KindName[];
  readonly workers: number;
  /** Registers handlers; the reconciler then runs with `workers` at a time, one per key. */
  start(context: ControllerContext): Reconcile;
}
