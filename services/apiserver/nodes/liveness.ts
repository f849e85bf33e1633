import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Cancel } from "../../../ha/runtime/types.ts";
import type { NodeUsage } from "../../../proto/gen/core.ts";
import type { NodeBeat } from "../../../proto/gen/node.ts";
import { type Document, type Resource, rfc3339Micro } from "../../kinds/mod.ts";
import { tooManyRequests } from "../errors.ts";
import { limits } from "../limits.ts";
import { objectKey } from "../storage/keys.ts";
import { change } from "../verbs/change.ts";
import { type Backend, create, documentBody, internalCall } from "../verbs/mod.ts";

/** This master as a user, when it writes on its own account. */
export const apiserverUser = {
  name: "system:kube-apiserver",
  groups: ["system:masters", "system:authenticated"],
};

interface Beat {
  lastMillis: number;
  streams: number;
  closedMillis: number | undefined;
  usage: NodeUsage | undefined;
}

/** One open heartbeat stream. */
export interface OpenStream {
  beat(usage: NodeUsage | undefined): void;
  close(): void;
}

export interface LivenessOptions {
  /** Between a node's heartbeats, as nodes are asked for. */
  readonly intervalMillis?: number | undefined;
  /** Between the writes of what was heard. */
  readonly writeMillis?: number | undefined;
  readonly minMillis?: number | undefined;
}

/**
 * When each node was last heard of, kept in memory and written as *one* NodeLiveness object named
 * after this master: once per interval, and at once (but not in a flurry) when a stream opens or
 * closes.
 */
export class Liveness {
  readonly intervalMillis: number;
  readonly #minMillis: number;
  readonly #backend: Backend;
  readonly #nodes: Resource;
  readonly #liveness: Resource;
  readonly #beats = new Map<string, Beat>();
  readonly #stopTimer: Cancel;
  #soon: Cancel | undefined;
  #writing: Promise<void> | undefined;
  #dirty = false;
  #closed = false;

  constructor(backend: Backend, options: LivenessOptions) {
    this.#backend = backend;
    this.#nodes = backend.registry.required("v1", "Node");
    this.#liveness = backend.registry.required("node.trireme.io/v1", "NodeLiveness");
    this.intervalMillis = options.intervalMillis ?? limits.heartbeatIntervalMillis;
    this.#minMillis = options.minMillis ?? limits.livenessMinMillis;
    const writeMillis = options.writeMillis ?? limits.livenessMillis;
    this.#stopTimer = backend.clock.every(writeMillis, () => this.#flush());
  }

  /** Throws TooManyRequests when this master has more nodes than it may. */
  open(node: string): OpenStream {
    let beat = this.#beats.get(node);
    if (beat === undefined) {
      if (this.#beats.size >= limits.heartbeatNodes) this.#forget();
      if (this.#beats.size >= limits.heartbeatNodes) {
        throw tooManyRequests(
          `Too many nodes: ${limits.heartbeatNodes} report to this apiserver already`,
          limits.retryAfterSeconds,
        );
      }
      beat = { lastMillis: 0, streams: 0, closedMillis: undefined, usage: undefined };
      this.#beats.set(node, beat);
    }
    const present = beat;
    present.streams += 1;
    present.closedMillis = undefined;
    present.lastMillis = this.#backend.now();
    this.#dirty = true;
    this.#flushSoon();
    let open = true;
    return {
      beat: (usage) => {
        present.lastMillis = this.#backend.now();
        if (usage !== undefined) present.usage = usage;
        this.#dirty = true;
      },
      close: () => {
        if (!open) return;
        open = false;
        present.streams -= 1;
        if (present.streams === 0) present.closedMillis = this.#backend.now();
        this.#dirty = true;
        this.#flushSoon();
      },
    };
  }

  /** Writes what is left to say, once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#stopTimer();
    this.#soon?.();
    await this.#writing;
    if (this.#dirty) await this.#write();
    this.#closed = true;
  }

  #flushSoon(waitMillis = this.#minMillis): void {
    if (this.#closed || this.#soon !== undefined) return;
    // The more nodes there are, the larger is what is written.
    this.#soon = this.#backend.clock.after(waitMillis + this.#beats.size, () => {
      this.#soon = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#dirty || this.#writing !== undefined || this.#closed) return;
    this.#dirty = false;
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Never rejects: what could not be written is said again. */
  async #write(): Promise<void> {
    const call = internalCall(apiserverUser);
    const { name } = this.#backend;
    this.#forget();
    const said = () => ({
      nodes: Object.fromEntries([...this.#beats].map(([node, beat]) => [node, beatOf(beat)])),
      observedTime: rfc3339Micro(this.#backend.now()),
    });
    const key = objectKey(this.#liveness, "", name);
    const about = { resource: this.#liveness, key, name, dryRun: false };
    try {
      // With thousands of nodes it is large: nothing is checked, compared or owned field by field.
      await change(this.#backend, call, about, ({ document }) => {
        const { managedFields: _, ...metadata } = document.metadata ?? {};
        return { action: "put", document: { ...document, metadata, ...said() } };
      });
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (error.code !== Code.notFound) return this.#failed(error);
      const first: Document = { metadata: { name }, ...said() };
      try {
        await create(this.#backend, call, this.#liveness, { body: documentBody(first) });
      } catch (second) {
        this.#failed(StatusError.from(second));
      }
    }
  }

  #failed(error: StatusError): void {
    this.#dirty = true;
    this.#flushSoon(limits.livenessRetryMillis);
    this.#backend.log.warn("the liveness of the nodes could not be written", {
      error: error.message,
    });
  }

  /** Nodes that left, for good or for another master, make room. */
  #forget(): void {
    const cache = this.#backend.cache.of(this.#nodes);
    for (const [node, beat] of this.#beats) {
      const known = cache.get(objectKey(this.#nodes, "", node)) !== undefined;
      const gone = beat.streams === 0 && !known;
      const old = (beat.closedMillis ?? this.#backend.now()) + closedMillisMax;
      if (gone || old < this.#backend.now()) this.#beats.delete(node);
    }
  }
}

/** How long a closed stream is still reported: much longer than a node may be silent. */
const closedMillisMax = 300_000;

function beatOf(beat: Beat): NodeBeat {
  const { usage, closedMillis } = beat;
  return {
    lastHeartbeatTime: new Date(beat.lastMillis).toISOString(),
    streamOpen: beat.streams > 0,
    ...(closedMillis !== undefined && { streamClosedTime: new Date(closedMillis).toISOString() }),
    ...(usage !== undefined && {
      usage: {
        cpuMillis: usage.cpuMillis ?? 0,
        memoryBytes: usage.memoryBytes ?? 0,
        cpuPressurePermille: usage.cpuPressurePermille ?? 0,
      },
    }),
  };
}
