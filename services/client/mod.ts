export { readPairFile, writePairFile } from "./certificate-file.ts";
export { CertificateManager } from "./certificate-manager.ts";
export { type CertificatePurpose, requestCertificate } from "./certificate-request.ts";
export {
  createClient,
  type TriremeClient,
} from "./client.ts";
export { Backoff, jittered, type LoopClock, sleep } from "./clock.ts";
export {
  anyClientFlags,
  clientFlags,
  connectByFlags,
  electionFlags,
} from "./component.ts";
export { parseDuration } from "./duration.ts";
export type { JsonObject } from "./dynamic-client.ts";
export { connectClient } from "./engine-wire.ts";
export { createEventRecorder, type EventRecorder } from "./event-recorder.ts";
export { type Fields, FileFields } from "./file-fields.ts";
export { Heap } from "./heap.ts";
export { IndexStore, keyOf, splitKey } from "./index-store.ts";
export { CachedInformer } from "./informer.ts";
export { apiVersionOf, InformerFactory, type ServedKind } from "./informer-factory.ts";
export {
  type Again,
  isAlreadyExists,
  isConflict,
  isNamespaceTerminating,
  isNotFound,
  type Reconcile,
  retryOnConflict,
  runReconciler,
} from "./reconcile.ts";

export { type KindName, kindNames, type ObjectTypes, resources } from "./resources.ts";
export {
  type ElectedContext,
  type ElectedWork,
  runElectedProgram,
} from "./run-elected-program.ts";
export type { ClientTransport, Duplex, UnaryOptions } from "./transport.ts";
export type * from "./types.ts";
export { watchEventLoop } from "./watchdog.ts";
export { createWorkQueue } from "./work-queue.ts";
