import { createHash } from "node:crypto";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Event, ObjectReference } from "../../proto/gen/core.ts";
import { rfc3339Seconds } from "../kinds/mod.ts";
import type { LoopClock } from "./clock.ts";
import { isAlreadyExists, isNotFound } from "./reconcile.ts";
import type { ApiObject, ResourceClient } from "./types.ts";

export const eventLimits = {
  /** Different events whose counts are remembered. */
  rememberedMax: 4_096,
  /** Events that wait to be written; more are dropped, for they only inform. */
  waitingMax: 1_000,
  messageCharactersMax: 1_024,
  writeMillis: 5_000,
} as const;

export interface EventRecorder {
  /** Notes an event about an object; written in the background, never throws. */
  event(
    about: ApiObject & { readonly kind?: string | undefined },
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ): void;
  /** Waits until what was noted has been written, or has failed. */
  flush(): Promise<void>;
}

interface Remembered {
  count: number;
  readonly firstTimestamp: string;
}

/** Core events; a repeated one raises the count of the first. */
export function createEventRecorder(options: {
  readonly events: Pick<ResourceClient<Event>, "create" | "patch">;
  readonly component: string;
  readonly host?: string | undefined;
  readonly clock: LoopClock;
  readonly log: Log;
}): EventRecorder {
  const { events, component, host, clock, log } = options;
  const remembered = new Map<string, Remembered>();
  const waiting: (() => Promise<void>)[] = [];
  let running: Promise<void> | undefined;

  async function drain(): Promise<void> {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      try {
        await job();
      } catch (error) {
        log.debug("an event could not be written", { error: StatusError.from(error).message });
      }
    }
    running = undefined;
  }

  async function write(event: Event, key: string): Promise<void> {
    const { name = "", namespace } = event.metadata ?? {};
    const known = remembered.get(key);
    const call = { timeoutMillis: eventLimits.writeMillis };
    if (known) {
      known.count++;
      const patch = {
        count: known.count,
        firstTimestamp: known.firstTimestamp,
        lastTimestamp: event.lastTimestamp,
      };
      try {
        await events.patch(name, namespace, "merge", patch, call);
        return;
      } catch (error) {
        // Events expire; the next one then begins anew.
        if (!isNotFound(error)) throw error;
        remembered.delete(key);
      }
    }
    try {
      await events.create(event, call);
    } catch (error) {
      // Written by an earlier life of this component.
      if (!isAlreadyExists(error)) throw error;
      const { lastTimestamp } = event;
      await events.patch(name, namespace, "merge", { lastTimestamp }, call);
    }
    remember(key, { count: 1, firstTimestamp: event.firstTimestamp ?? "" });
  }

  function remember(key: string, value: Remembered): void {
    remembered.set(key, value);
    if (remembered.size <= eventLimits.rememberedMax) return;
    for (const oldest of remembered.keys()) {
      remembered.delete(oldest);
      return;
    }
  }

  return {
    event(about, type, reason, message) {
      if (waiting.length >= eventLimits.waitingMax) {
        log.warn("an event is dropped: too many wait", { limit: eventLimits.waitingMax, reason });
        return;
      }
      const involvedObject = referenceTo(about);
      const text = message.slice(0, eventLimits.messageCharactersMax);
      const key = JSON.stringify([involvedObject, component, host, type, reason, text]);
      const now = rfc3339Seconds(clock.wallMillis());
      const digest = createHash("sha256").update(key).digest("hex").slice(0, 16);
      const event: Event = {
        apiVersion: "v1",
        kind: "Event",
        metadata: {
          name: `${(involvedObject.name ?? "").slice(0, 200)}.${digest}`,
          namespace: involvedObject.namespace || "default",
        },
        involvedObject,
        type,
        reason,
        message: text,
        count: 1,
        firstTimestamp: now,
        lastTimestamp: now,
        source: { component, ...(host !== undefined && { host }) },
        reportingComponent: component,
        ...(host !== undefined && { reportingInstance: host }),
      };
      waiting.push(() => write(event, key));
      running ??= drain();
    },
    async flush() {
      await running;
    },
  };
}

export function referenceTo(object: ApiObject): ObjectReference {
  const { name, namespace, uid } = object.metadata ?? {};
  return {
    ...(object.apiVersion !== undefined && { apiVersion: object.apiVersion }),
    ...(object.kind !== undefined && { kind: object.kind }),
    ...(name !== undefined && { name }),
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
  };
}
