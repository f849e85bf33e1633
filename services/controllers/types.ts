import type { FencingToken } from "../../ha/election/mod.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type {
  ApiObject,
  EventRecorder,
  Informer,
  InformerHandlers,
  KindName,
  LoopClock,
  ObjectTypes,
  Reconcile,
  ServedKind,
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
  /** The shared cache of the metadata of a kind that only discovery names. */
  dynamic(served: ServedKind): Informer<ApiObject>;
  /** Ends that cache when the kind is no longer served. */
  dropDynamic(served: ServedKind): void;
  /** Handlers that enqueue keys, taken off when leadership ends. */
  on<K extends KindName>(kind: K, handlers: InformerHandlers<ObjectTypes[K]>): void;
}

/**
 * Every controller has this shape: which caches it reads, what enqueues keys, what is done.
 *
 * `start` is called once each time this process takes leadership, after the caches in `informers`
 * have synced, and must not await: it registers handlers by `context.on` and answers the reconciler,
 * whose contract is {@link Reconcile}'s. All state of the controller lives in what `start` makes, so
 * that nothing of an earlier leadership is left.
 */
export interface Controller {
  readonly name: string;
  /** Who its events say they are from; absent: the name and `-controller`. */
  readonly component?: string;
  readonly informers: readonly KindName[];
  readonly workers: number;
  /** Registers handlers; the reconciler then runs with `workers` at a time, one per key. */
  start(context: ControllerContext): Reconcile;
}
