import { createHash } from "node:crypto";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Event, ObjectReference } from "../../proto/gen/core.ts";
import { rfc3339Seconds } from "../kinds/facts.ts";
import type { LoopClock } from "./clock.ts";
import { EventAggregator } from "./event-aggregator.ts";
import { EventBudget } from "./event-budget.ts";
import { isAlreadyExists, isConflict, isNotFound } from "./reconcile.ts";
import type { ApiObject, ResourceClient } from "./types.ts";

const eventLimits = {
  /** Different events whose counts are remembered, so that a repetition costs one write. */
  rememberedMax: 4_096,
  /** Events that wait to be written; more are dropped, for they only inform. */
  waitingMax: 1_000,
  /** Written at the same time; those about one object stay in one lane, and in order. */
  lanes: 8,
  messageCharactersMax: 1_024,
  writeMillis: 5_000,
  /** Drops are told of together, so often at most. */
  dropsToldMillis: 10_000,
  /** Of one event, while others change it at the same time. */
  attemptsMax: 4,
} as const;

type EventSubject = ApiObject & {
  readonly kind?: string | undefined;
  readonly fieldPath?: string | undefined;
};

export interface EventRecorder {
  /**
   * Notes an event about an object; written in the background, never throws. `fieldPath`: the part
   * of the object that it is about, such as spec.containers{name}.
   */
  event(about: EventSubject, type: "Normal" | "Warning", reason: string, message: string): void;
  /** Waits until what was noted has been written, or has failed. */
  flush(): Promise<void>;
}

/** What the server keeps of an event that was written before. */
interface Written {
  readonly count: number;
  readonly resourceVersion: string | undefined;
}

/** Events that are written one after the other. */
interface Lane {
  readonly waiting: Event[];
  running?: Promise<void> | undefined;
}

/**
 * Core events. A repeated one raises the count of the first: by one over what the server holds, so
 * that a count never goes back when a component starts anew, or when two write the same event. What
 * an {@link EventAggregator} puts together is one event whose message is the newest, and what an
 * {@link EventBudget} has no room for is dropped.
 */
export function createEventRecorder(options: {
  readonly events: Pick<ResourceClient<Event>, "create" | "patch">;
  readonly component: string;
  readonly host?: string | undefined;
  readonly clock: LoopClock;
  readonly log: Log;
}): EventRecorder {
  const { events, component, host, clock, log } = options;
  const remembered = new Map<string, Written>();
  const budget = new EventBudget(clock);
  const aggregator = new EventAggregator(clock);
  const lanes: Lane[] = Array.from({ length: eventLimits.lanes }, () => ({ waiting: [] }));
  let waiting = 0;
  let dropped = 0;
  let tellDropsAt = Number.NEGATIVE_INFINITY;

  function drop(reason: string): void {
    dropped++;
    const now = clock.monotonicMillis();
    if (now < tellDropsAt) return;
    tellDropsAt = now + eventLimits.dropsToldMillis;
    const { waitingMax: limit } = eventLimits;
    log.warn("events are dropped: too many wait", { limit, reason, dropped });
    dropped = 0;
  }

  async function drain(lane: Lane): Promise<void> {
    for (let event = lane.waiting.shift(); event; event = lane.waiting.shift()) {
      waiting--;
      try {
        await write(event);
      } catch (error) {
        log.debug("an event could not be written", { error: StatusError.from(error).message });
      }
    }
    lane.running = undefined;
  }

  async function write(event: Event): Promise<void> {
    const { name = "" } = event.metadata ?? {};
    for (let attempt = 1; ; attempt++) {
      try {
        remember(name, await put(event));
        return;
      } catch (error) {
        // Expired, written by another, or changed by another: the next attempt knows.
        remembered.delete(name);
        const raced = isNotFound(error) || isAlreadyExists(error) || isConflict(error);
        if (!raced || attempt === eventLimits.attemptsMax) throw error;
        if (!isNotFound(error)) await look(event);
      }
    }
  }

  /** Raises the count of the event that is there, or makes it. */
  async function put(event: Event): Promise<Written> {
    const { name = "", namespace } = event.metadata ?? {};
    const call = { timeoutMillis: eventLimits.writeMillis };
    const known = remembered.get(name);
    if (!known) return written(await events.create(event, call));
    const patch = {
      // Refused where the stored event is another than the one that was counted.
      metadata: { resourceVersion: known.resourceVersion },
      count: known.count + 1,
      lastTimestamp: event.lastTimestamp,
      message: event.message,
    };
    return written(await events.patch(name, namespace, "merge", patch, call));
  }

  /** The answer to a patch tells the stored count; nodes may write events but not read them. */
  async function look({ metadata, lastTimestamp }: Event): Promise<void> {
    const { name = "", namespace } = metadata ?? {};
    const call = { timeoutMillis: eventLimits.writeMillis };
    try {
      remember(
        name,
        written(await events.patch(name, namespace, "merge", { lastTimestamp }, call)),
      );
    } catch (error) {
      // It has expired meanwhile: it is made anew.
      if (!isNotFound(error)) throw error;
    }
  }

  function remember(name: string, value: Written): void {
    remembered.delete(name);
    remembered.set(name, value);
    if (remembered.size <= eventLimits.rememberedMax) return;
    for (const oldest of remembered.keys()) {
      remembered.delete(oldest);
      return;
    }
  }

  return {
    event(about, type, reason, message) {
      if (waiting >= eventLimits.waitingMax) {
        drop(reason);
        return;
      }
      const involvedObject = referenceTo(about);
      const { fieldPath: _, ...object } = involvedObject;
      if (!budget.take(JSON.stringify(object))) return;
      const group = [involvedObject, component, host, type, reason];
      const words = message.slice(0, eventLimits.messageCharactersMax);
      const isOneOfMany = aggregator.isOneOfMany(JSON.stringify(group), words);
      const told = isOneOfMany ? `(combined from similar events): ${words}` : words;
      const text = told.slice(0, eventLimits.messageCharactersMax);
      const key = JSON.stringify(isOneOfMany ? group : [...group, text]);
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
      const lane = lanes[laneOf(involvedObject)] as Lane;
      waiting++;
      lane.waiting.push(event);
      lane.running ??= drain(lane);
    },
    async flush() {
      for (const lane of lanes) await lane.running;
    },
  };
}

function laneOf({ namespace, name, uid }: ObjectReference): number {
  const digest = createHash("sha256")
    .update(JSON.stringify([namespace, name, uid]))
    .digest();
  return digest.readUInt32BE() % eventLimits.lanes;
}

function written({ count, metadata }: Event): Written {
  return { count: count ?? 1, resourceVersion: metadata?.resourceVersion };
}

function referenceTo(object: EventSubject): ObjectReference {
  const { name, namespace, uid } = object.metadata ?? {};
  return {
    ...(object.apiVersion !== undefined && { apiVersion: object.apiVersion }),
    ...(object.kind !== undefined && { kind: object.kind }),
    ...(name !== undefined && { name }),
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
    ...(object.fieldPath !== undefined && { fieldPath: object.fieldPath }),
  };
}
