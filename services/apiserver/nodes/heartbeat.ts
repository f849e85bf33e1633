import { httpCodeOf } from "../../../ha/rpc/mod.ts";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type {
  HeartbeatRequest,
  HeartbeatResponse,
  NodeStatus,
  PodStatusReport,
  PodStatusResult,
} from "../../../proto/gen/core.ts";
import { copyJson, type Document, type Resource, rfc3339Seconds } from "../../kinds/mod.ts";
import { nodeNameOf } from "../auth/node-authorizer.ts";
import { badRequest, forbidden } from "../errors.ts";
import { limits } from "../limits.ts";
import { fetchObject } from "../storage/fetch.ts";
import { objectKey } from "../storage/keys.ts";
import { beginAudit } from "../verbs/audited-call.ts";
import type { Call } from "../verbs/call.ts";
import { change } from "../verbs/change.ts";
import { removeKey } from "../verbs/delete.ts";
import { sameValue } from "../verbs/documents.ts";
import { nameOf, namespaceOf } from "../verbs/pipeline.ts";
import { checkPreconditions, replace } from "../verbs/update.ts";
import type { OpenStream } from "./liveness.ts";
import type { NodeServing } from "./types.ts";

/**
 * A node's stream. Each request is answered when what it reported has been written; liveness itself
 * costs no write of its own (liveness.ts).
 */
export async function* heartbeat(
  serving: NodeServing,
  call: Call,
  nodes: Resource,
  requests: AsyncIterable<HeartbeatRequest>,
  signal: AbortSignal,
): AsyncGenerator<HeartbeatResponse, void> {
  let stream: OpenStream | undefined;
  let reporter: NodeReporter | undefined;
  const ended = AbortSignal.any([signal, serving.stopping]);
  const steps = stepsUntil(requests[Symbol.asyncIterator](), ended);
  try {
    for (;;) {
      const step = await steps.next();
      if (step === undefined || step.done) return;
      const request = step.value;
      const node = nameOf(request.nodeName);
      if (reporter === undefined) {
        auditStream(serving, call, nodes, node);
        checkReporter(call, nodes, node);
        stream = serving.heartbeats.open(node);
        reporter = new NodeReporter(serving, call, nodes, node);
      } else if (reporter.node !== node) {
        throw badRequest(`nodeName changed on the stream from ${reporter.node} to ${node}`);
      }
      stream?.beat(request.usage);
      yield await reporter.handle(request);
    }
  } finally {
    stream?.close();
    steps.close();
  }
}

/**
 * `next` answers the iterator's steps, and undefined once the signal aborts. A race against one
 * promise for the end would keep every step until then.
 */
function stepsUntil<T>(incoming: AsyncIterator<T>, signal: AbortSignal) {
  let end = () => {};
  const stop = () => end();
  signal.addEventListener("abort", stop, { once: true });
  return {
    next: () =>
      new Promise<IteratorResult<T> | undefined>((resolve, reject) => {
        end = () => resolve(undefined);
        if (signal.aborted) end();
        else incoming.next().then(resolve, reject);
      }),
    close: () => signal.removeEventListener("abort", stop),
  };
}

/** A stream is one patch of the node's status, however long it goes on. */
function auditStream({ backend }: NodeServing, call: Call, nodes: Resource, name: string): void {
  if (call.auditSource === undefined) return;
  const { group, plural: resource, version } = nodes;
  const about = { group, resource, subresource: "status", namespace: "", name };
  const info = { user: call.user, verb: "patch", ...about, fieldSelector: "", path: "" };
  beginAudit(backend, call, info, version);
}

/** Only a node itself, or an administrator, speaks for it. */
function checkReporter(call: Call, nodes: Resource, node: string): void {
  const { user } = call;
  if (user.groups.includes("system:masters") || nodeNameOf(user) === node) return;
  throw forbidden(nodes, node, `User "${user.name}" cannot send heartbeats of node "${node}"`);
}

class NodeReporter {
  readonly node: string;
  readonly #serving: NodeServing;
  readonly #call: Call;
  readonly #nodes: Resource;
  /** The last status the node reported; later messages leave out what did not change. */
  #reported: NodeStatus | undefined;
  #kubeletPort: number | undefined;
  #seenRevision = 0;

  constructor(serving: NodeServing, call: Call, nodes: Resource, node: string) {
    this.#serving = serving;
    this.#call = call;
    this.#nodes = nodes;
    this.node = node;
  }

  async handle(request: HeartbeatRequest): Promise<HeartbeatResponse> {
    const reports = request.pods ?? [];
    if (reports.length > limits.heartbeatPods) {
      throw badRequest(
        `pods: ${reports.length} reports in one message, at most ${limits.heartbeatPods} are taken`,
      );
    }
    const registered = await this.#reportNode(request);
    return {
      ...(request.sequence !== undefined && { sequence: request.sequence }),
      registered,
      pods: await this.#reportPods(reports),
      intervalMillis: this.#serving.heartbeats.intervalMillis,
    };
  }

  /** False: there is no such Node object. */
  async #reportNode(request: HeartbeatRequest): Promise<boolean> {
    const { backend } = this.#serving;
    const key = objectKey(this.#nodes, "", this.node);
    const cached = backend.cache.of(this.#nodes).get(key);
    const stored = cached ?? (await fetchObject(backend, this.#nodes, key));
    const news = request.status !== undefined || request.kubeletPort !== undefined;
    this.#reported = request.status ?? this.#reported;
    this.#kubeletPort = request.kubeletPort ?? this.#kubeletPort;
    if (stored === undefined) return false;
    // Others write node status too: what they changed since is held against the last report.
    if (!news && stored.revision === this.#seenRevision) return true;
    const { object } = await change(
      backend,
      this.#call,
      {
        ...{ resource: this.#nodes, key, name: this.node, dryRun: false },
        ...{ subresource: "status", manager: "kubelet" },
      },
      (present, admission) => {
        // As of a pod: `replace` takes the status alone, and makes it its own.
        const stored = copyJson(present.document["status"]) as NodeStatus | undefined;
        const status = mergeNode(stored, this.#reported ?? {});
        if (this.#kubeletPort !== undefined) {
          status.daemonEndpoints = { kubeletEndpoint: { Port: this.#kubeletPort } };
        }
        const before = withoutHeartbeats(present.document["status"]);
        if (sameValue(withoutHeartbeats(status), before)) return { action: "keep" };
        const heard = heardAt(status, this.#reported?.conditions, backend.now());
        return replace(backend, present, admission({ ...present.document, status: heard }));
      },
    );
    this.#seenRevision = object.revision;
    return true;
  }

  async #reportPods(reports: readonly PodStatusReport[]): Promise<PodStatusResult[]> {
    const results: PodStatusResult[] = [];
    const pending = reports.entries();
    const worker = async () => {
      for (const [index, report] of pending) results[index] = await this.#reportPod(report);
    };
    const workers = Math.min(limits.heartbeatParallel, reports.length);
    await Promise.all(Array.from({ length: workers }, worker));
    return results;
  }

  async #reportPod(report: PodStatusReport): Promise<PodStatusResult> {
    const { namespace, name, uid } = report;
    const address = { namespace, name, uid };
    try {
      const resourceVersion = String(await this.#writePod(report));
      return { ...address, resourceVersion, code: 200 };
    } catch (thrown) {
      const error = StatusError.from(thrown);
      return { ...address, code: httpCodeOf(error), message: error.message };
    }
  }

  async #writePod(report: PodStatusReport): Promise<number> {
    const { backend } = this.#serving;
    const pods = backend.registry.required("v1", "Pod");
    const name = nameOf(report.name);
    const namespace = namespaceOf(pods, report.namespace);
    const key = objectKey(pods, namespace, name);
    if (!report.uid) throw badRequest(`pods: the report of ${namespace}/${name} has no uid`);
    const preconditions = { uid: report.uid };
    const request = {
      ...{ resource: pods, key, name, dryRun: false },
      ...{ subresource: "status", manager: "kubelet" },
    };
    const checked = (present: { document: Document }) => {
      const spec = present.document["spec"] as { nodeName?: string } | undefined;
      if (spec?.nodeName === this.node) return;
      throw forbidden(pods, name, `the pod is not bound to node "${this.node}"`);
    };
    const writeStatus = async () => {
      const { object } = await change(backend, this.#call, request, (present, admission) => {
        checkPreconditions(pods, present, preconditions);
        checked(present);
        // Of a write of the status, `replace` takes the status alone, and makes it its own.
        const stored = copyJson(present.document["status"]) as PodStatusLike | undefined;
        const status = mergePod(stored, report.status ?? {});
        return replace(backend, present, admission({ ...present.document, status }));
      });
      return object.revision;
    };
    if (report.removed) {
      const present = backend.cache.of(pods).get(key) ?? (await fetchObject(backend, pods, key));
      if (present !== undefined) checked(present);
      // A finalizer keeps the object: then its status must say how the containers ended.
      const held = (present?.document.metadata?.finalizers ?? []).length > 0;
      if (held && report.status !== undefined) await writeStatus();
      const deletion = { gracePeriodSeconds: 0, preconditions };
      return (await removeKey(backend, this.#call, pods, key, deletion)).object.revision;
    }
    return writeStatus();
  }
}

interface ConditionLike {
  type?: string | undefined;
  status?: string | undefined;
  lastTransitionTime?: string | undefined;
}
type PodStatusLike = NonNullable<PodStatusReport["status"]>;

/** The node's own conditions replace the stored ones; those that others keep stay. */
function mergeConditions<C extends ConditionLike>(
  stored: readonly C[] | undefined,
  reported: readonly C[] | undefined,
): C[] {
  const own = (reported ?? []).map((condition) => {
    const before = stored?.find((each) => each.type === condition.type);
    // A transition is a change of status, whatever clock reported it.
    const kept = before?.status === condition.status ? before?.lastTransitionTime : undefined;
    return kept === undefined ? condition : { ...condition, lastTransitionTime: kept };
  });
  const merged = (stored ?? []).map(
    (condition) => own.find((each) => each.type === condition.type) ?? condition,
  );
  return [...merged, ...own.filter((each) => !merged.includes(each))];
}

function mergeNode(stored: NodeStatus | undefined, reported: NodeStatus): NodeStatus {
  const conditions = mergeConditions(stored?.conditions, reported.conditions);
  const given = Object.entries(reported).filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  // The kubelet alone knows which volumes it uses: none is none.
  const { volumesInUse: _, ...kept } = stored ?? {};
  return { ...kept, ...Object.fromEntries(given), conditions };
}

/** The conditions that the kubelet reports say when it was heard, to within the last write. */
function heardAt(
  status: NodeStatus,
  reported: readonly ConditionLike[] = [],
  nowMillis: number,
): NodeStatus {
  const types = new Set(reported.map(({ type }) => type));
  const lastHeartbeatTime = rfc3339Seconds(nowMillis);
  const conditions = (status.conditions ?? []).map((condition) =>
    types.has(condition.type) ? { ...condition, lastHeartbeatTime } : condition,
  );
  return { ...status, conditions };
}

/** Conditions of the kubelet that are there only while they hold. */
const passing = new Set(["PodResizePending", "PodResizeInProgress"]);

/** What a kubelet does not know of stays. */
function mergePod(stored: PodStatusLike | undefined, reported: PodStatusLike): PodStatusLike {
  const others = Object.entries({
    qosClass: stored?.qosClass,
    nominatedNodeName: stored?.nominatedNodeName,
    resourceClaimStatuses: stored?.resourceClaimStatuses,
  }).filter(([, value]) => value !== undefined);
  const told = new Set(reported.conditions?.map(({ type }) => type));
  const kept = stored?.conditions?.filter(({ type = "" }) => !passing.has(type) || told.has(type));
  const conditions = mergeConditions(kept, reported.conditions);
  return { ...Object.fromEntries(others), ...reported, conditions };
}

/** Heartbeat times alone are not worth a write. */
function withoutHeartbeats(status: unknown): unknown {
  const { conditions, ...rest } = (status ?? {}) as { conditions?: Record<string, unknown>[] };
  const kept = conditions?.map(({ lastHeartbeatTime: _, ...condition }) => condition);
  return { ...rest, conditions: kept ?? [] };
}
