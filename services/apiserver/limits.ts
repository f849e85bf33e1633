/**
 * Every bound of the apiserver, in one place, with the relations between them.
 *
 * Source of the numbers: upstream's defaults where there are any (in-flight 400/200, request timeout
 * 60 s, bookmark a minute, objects of 1.5 MB).
 */
import { assert } from "../../ha/runtime/assert.ts";
import { defaultTimers } from "../../ha/runtime/timers.ts";

export const limits = {
  /** Requests under way at once, watches and streams not counted (upstream: 400 + 200). */
  seats: 600,
  /** Requests of one flow that wait for their turn, and for how long (flow-control.ts). */
  queueLength: 500,
  queueMillis: defaultTimers.flowQueue,
  /** Objects with a time to live, written within it, share a lease of the store. */
  leaseSharedSeconds: 60,
  /** What a refused caller is told to wait. */
  retryAfterSeconds: 1,
  /** A unary request ends after this, whatever its own deadline. */
  requestTimeoutMillis: defaultTimers.requestTimeout,
  /** A request that takes longer is told of in the log (the objective of upstream is 1 s). */
  slowRequestMillis: 1_000,
  /** How long a read waits for the watch cache to reach the revision it needs. */
  cacheWaitMillis: defaultTimers.cacheWait,
  /** Bytes of one object as JSON text, of one request, and of one message either way. */
  objectBytes: 1_572_864,
  requestBytes: 8 * 1024 * 1024,
  messageBytes: 64 * 1024 * 1024,
  /** Bytes of a REST request's body (upstream: 3 MB), and how long it may take to come. */
  restBodyBytes: 3 * 1024 * 1024,
  restBodyMillis: 60_000,
  /** Bytes of all bodies of REST requests under way. */
  restBodiesBytes: 256 * 1024 * 1024,
  /** A REST request's head: bytes, fields, and how long it may take to come (HTTP/1.1). */
  restHeaderBytes: 64 * 1024,
  restHeaderFields: 200,
  restHeadMillis: 10_000,
  /** REST connections of one master, and streams of one of them: a balancer sends many. */
  restConnections: 10_000,
  restStreams: 10_000,
  /** Answers from this size on are compressed for clients that take it (upstream: 128 KiB). */
  gzipBytes: 128 * 1024,
  /** Long answers that are compressed while they are sent; further ones are sent as they are. */
  gzipStreams: 32,
  /** Events of the audit log that wait for its file, documents in them, and how often loss is told. */
  auditQueueEvents: 10_000,
  auditQueueBytes: 64 * 1024 * 1024,
  auditDocumentBytes: 4 * 1024 * 1024,
  auditTellMillis: 10_000,
  /** How often the file with the encryption's keys is looked at. */
  encryptionReloadMillis: 1_000,
  /** Lists from this size on are made while they are sent. */
  streamedListBytes: 256 * 1024,
  /** A list takes a seat for so many objects, so many at most (upstream: 100, 10), for so long. */
  listObjectsOfSeat: 100,
  listSeatsMax: 10,
  listSeatMillis: 30_000,
  /** Objects that a list takes from an index; of more, it looks at all in their order. */
  indexedObjects: 1_000,
  /** Objects of one page, and of one read of the store behind it. */
  listPageMax: 10_000,
  /** Objects that another program is asked to convert at a time. */
  conversionObjects: 500,
  storePage: 500,
  /**
   * Forms of stored objects that are kept, of all objects together: parsed documents by the size of
   * their text, which they exceed three times in memory; protobuf messages; JSON texts; watch events.
   */
  documentsBytes: 2 * 1024 * 1024,
  messagesBytes: 48 * 1024 * 1024,
  textsBytes: 48 * 1024 * 1024,
  eventMessagesBytes: 4 * 1024 * 1024,
  /** Writes under way whose documents the cache of their kind keeps until it is told of them. */
  expectedWrites: 1_000,
  /** Recent events kept per kind; those older than two bookmarks go, down to the smaller number. */
  ringEvents: 8_192,
  ringEventsMin: 100,
  ringBytes: 16 * 1024 * 1024,
  /** Events a watcher may have waiting; beyond it, its stream ends and the client resumes. */
  watcherEvents: 4_096,
  watcherBytes: 16 * 1024 * 1024,
  /** Of a kind; a watch that begins with the state of more waits for its turn. */
  watchInTurnObjects: 500,
  /** Watches of one master. */
  watchers: 20_000,
  bookmarkMillis: defaultTimers.bookmark,
  /** A watch without timeoutSeconds ends after this. */
  watchSeconds: defaultTimers.watch / 1_000,
  /** Attempts of a read-modify-write that keeps losing to others. */
  updateAttempts: 100,
  /** Of these so many without a pause. */
  eagerAttempts: 4,
  /** Names tried for generateName. */
  nameAttempts: 8,
  /** Attempts of a create that loses an address, or the right to count against a quota, to others. */
  addressAttempts: 100,
  /** The longest pause between the later ones of them. */
  backoffMillis: 64,
  /** Objects that one DeleteCollection deletes at a time. */
  deleteCollectionParallel: 8,
  /** The store watch and the first fill are tried again after these. */
  retryMinMillis: 50,
  retryMaxMillis: 2_000,
  /** How often the service `kubernetes` is looked at. */
  clusterServiceMillis: 10_000,
  /** How often the addresses and ports of services are compared with their keys, as upstream. */
  serviceRepairMillis: 180_000,
  /** How long one of its endpoints may take to accept a connection. */
  endpointConnectMillis: 2_000,
  /** How long discovery waits for custom resources that this master has not seen yet. */
  discoveryMillis: 500,
  /** How long masters that do not lead leave the status of definitions to the one that does. */
  definitionStandbyMillis: 1_000,
  /** Webhooks that convert objects: calls at once, bytes of an answer, and how long one may take. */
  conversionCalls: 32,
  conversionAnswerBytes: 64 * 1024 * 1024,
  conversionMillis: 30_000,
  /** Calls of one admission webhook at once, and bytes of an answer. */
  webhookCalls: 64,
  webhookAnswerBytes: 8 * 1024 * 1024,
  /** Bindings of one request, and how many of them are under way at once. */
  bindings: 500,
  bindingsParallel: 64,
  /** Node heartbeats. */
  heartbeatIntervalMillis: defaultTimers.nodeHeartbeat,
  heartbeatNodes: 5_000,
  heartbeatPods: 1_000,
  heartbeatParallel: 8,
  /** What a kubelet says its pods use is asked for anew after this, so many kubelets at a time. */
  usageMillis: 10_000,
  usageParallel: 16,
  usageAnswerMillis: 5_000,
  /** What nodes were heard of is written so often; again soon where that has failed. */
  livenessMillis: defaultTimers.nodeLiveness,
  livenessRetryMillis: 1_000,
  /** Wait between two immediate liveness writes. */
  livenessMinMillis: 200,
  /** Pods that an overview of all names. */
  overviewPods: 500,
  /** Watchers of the cluster status. */
  statusWatchers: 100,
  /** Streams into pods end when neither side has sent anything for so long (upstream: 4 h). */
  streamIdleMillis: 4 * 3_600_000,
  /** Bytes of input in one message to a kubelet; longer ones are cut. */
  streamPieceBytes: 64 * 1024,
  /** Upgraded connections of one master. */
  upgrades: 2_000,
  /** Bytes of one WebSocket message, and of what waits on either side of one connection. */
  streamMessageBytes: 4 * 1024 * 1024,
  streamQueueBytes: 256 * 1024,
  /** WebSocket clients are asked for a sign of life, and given up without any. */
  streamPingMillis: 10_000,
  streamSilenceMillis: 60_000,
  /** Both streams of a connection forwarded over SPDY are opened within this (upstream: 30 s). */
  streamPairMillis: 30_000,
  /** Ports forwarded over one connection of channels. */
  streamPorts: 100,
  /** Connecting to a kubelet. */
  kubeletConnectMillis: 5_000,
  drainMillis: defaultTimers.apiserverDrain,
  /** When a master stops, its watches end within this, one or a few of them after each pause. */
  watchesEndMillis: 1_000,
  watchEndPauseMillis: 20,
} as const;

assert(limits.storePage <= limits.listPageMax, "store page <= list page");
assert(limits.objectBytes < limits.requestBytes, "object < request");
assert(limits.gzipBytes < limits.streamedListBytes, "compressed < streamed");
assert(limits.auditDocumentBytes < limits.auditQueueBytes, "audited document < audit queue");
assert(limits.restBodyBytes < limits.auditDocumentBytes, "REST body < audited document");
assert(limits.objectBytes < limits.restBodyBytes, "object < REST body");
assert(limits.restBodyBytes < limits.restBodiesBytes, "REST body < all REST bodies");
assert(limits.requestBytes <= limits.messageBytes, "request <= message");
assert(limits.streamPingMillis < limits.streamSilenceMillis, "ping < silence");
assert(limits.livenessMinMillis < limits.livenessMillis, "liveness pause < interval");
