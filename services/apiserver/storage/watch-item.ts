import type { Resource } from "../../kinds/mod.ts";
import { limits } from "../limits.ts";
import { Recent } from "./recent.ts";
import type { Selection } from "./selection.ts";
import { StoredObject } from "./stored-object.ts";
import { encodeStored } from "./stored-text.ts";
import { eventMessage } from "./wire.ts";

export const EventType = {
  added: "ADDED",
  modified: "MODIFIED",
  deleted: "DELETED",
  bookmark: "BOOKMARK",
} as const;
export type EventType = (typeof EventType)[keyof typeof EventType];

/** What one watcher is told; the encoded forms are shared by all who are told it soon. */
export class WatchItem {
  readonly type: EventType;
  readonly object: StoredObject;
  /** Of a change: what the watcher was told before. */
  readonly #previous: StoredObject | undefined;
  #message: Uint8Array | undefined;
  #trimmed: Uint8Array | undefined;
  #json: Uint8Array | undefined;
  #trimmedJson: Uint8Array | undefined;
  #changes: Uint8Array | undefined;

  constructor(type: EventType, object: StoredObject, previous?: StoredObject) {
    this.type = type;
    this.object = object;
    this.#previous = previous;
  }

  /** The kind's typed event message. */
  get message(): Uint8Array {
    if (this.#message === undefined) {
      this.#message = eventMessage(this.type, this.object.protobuf);
      recentMessages.add(this, this.#message.length);
    }
    return this.#message;
  }

  /** `message` whose object has no managedFields. */
  get trimmed(): Uint8Array {
    if (this.#trimmed === undefined) {
      this.#trimmed = eventMessage(this.type, this.object.trimmed);
      recentMessages.add(this, this.#trimmed.length);
    }
    return this.#trimmed;
  }

  /** The Dynamic service's event message. */
  get json(): Uint8Array {
    if (this.#json === undefined) {
      this.#json = eventMessage(this.type, this.object.json);
      recentMessages.add(this, this.#json.length);
    }
    return this.#json;
  }

  /** `json` whose object has no managedFields: it costs no parsing, and the least of all. */
  get trimmedJson(): Uint8Array {
    if (this.#trimmedJson === undefined) {
      this.#trimmedJson = eventMessage(this.type, this.object.trimmedJson);
      recentMessages.add(this, this.#trimmedJson.length);
    }
    return this.#trimmedJson;
  }

  /** `trimmedJson` with only what has changed, where the watcher can have what it is based on. */
  get changes(): Uint8Array {
    if (this.#changes !== undefined) return this.#changes;
    const json = this.#changedJson();
    if (json === undefined) return this.trimmedJson;
    this.#changes = eventMessage(this.type, json, String(this.#previous?.revision));
    recentMessages.add(this, this.#changes.length);
    return this.#changes;
  }

  #changedJson(): Buffer | undefined {
    const previous = this.#previous;
    if (previous === undefined || !previous.ready) return undefined;
    if (!previous.readable || !this.object.readable) return undefined;
    return this.object.changesSince(previous);
  }

  static readonly forgetMessage = (item: WatchItem): void => {
    item.#message = undefined;
    item.#trimmed = undefined;
    item.#json = undefined;
    item.#trimmedJson = undefined;
    item.#changes = undefined;
  };
}

const recentMessages = new Recent(limits.eventMessagesBytes, WatchItem.forgetMessage);

/** One change of one object. */
export class CacheEvent {
  /** The new state; of a deletion, the last state with the deletion's revision. */
  readonly object: StoredObject;
  readonly previous: StoredObject | undefined;
  readonly deleted: boolean;
  #plain: WatchItem | undefined;
  #left: WatchItem | undefined;
  #views: Map<Resource, CacheEvent> | undefined;

  constructor(object: StoredObject, previous: StoredObject | undefined, deleted: boolean) {
    this.object = object;
    this.previous = previous;
    this.deleted = deleted;
  }

  get revision(): number {
    return this.object.revision;
  }

  get size(): number {
    return this.object.size + (this.previous?.size ?? 0);
  }

  /**
   * What a watcher with this selection sees: an object that enters the selection is ADDED, one that
   * leaves it DELETED (with its last selected state). Undefined: nothing.
   */
  itemFor(selection: Selection): WatchItem | undefined {
    if (!this.object.key.startsWith(selection.prefix)) return undefined;
    const { resource } = selection;
    if (resource !== this.object.resource) return this.#as(resource).itemFor(selection);
    if (!selection.filtered) return this.#plainItem();
    const before = this.previous !== undefined && isSelected(selection, this.previous);
    const after = !this.deleted && isSelected(selection, this.object);
    if (after && before) return this.#plainItem();
    if (after) {
      return this.previous === undefined
        ? this.#plainItem()
        : new WatchItem(EventType.added, this.object);
    }
    if (!before) return undefined;
    return this.deleted ? this.#plainItem() : this.#leftItem();
  }

  /** The event as the watchers of a resource see it that is stored as this one's. */
  #as(resource: Resource): CacheEvent {
    this.#views ??= new Map();
    let view = this.#views.get(resource);
    if (view === undefined) {
      const { object, previous, deleted } = this;
      view = new CacheEvent(object.as(resource), previous?.as(resource), deleted);
      this.#views.set(resource, view);
    }
    return view;
  }

  #plainItem(): WatchItem {
    if (this.#plain === undefined) {
      const type = this.#plainType();
      const previous = type === EventType.modified ? this.previous : undefined;
      this.#plain = new WatchItem(type, this.object, previous);
    }
    return this.#plain;
  }

  #plainType(): EventType {
    if (this.deleted) return EventType.deleted;
    return this.previous === undefined ? EventType.added : EventType.modified;
  }

  #leftItem(): WatchItem {
    const last = this.previous?.at(this.revision) ?? this.object;
    this.#left ??= new WatchItem(EventType.deleted, last);
    return this.#left;
  }
}

/** Who watches what cannot be read is told so. */
function isSelected(selection: Selection, object: StoredObject): boolean {
  return !object.readable || selection.matches(object);
}

export const initialEventsEnd = "k8s.io/initial-events-end";

/** Says that everything up to `revision` has been told. */
export function bookmark(resource: Resource, revision: number, initialEnd = false): WatchItem {
  const annotations = initialEnd ? { annotations: { [initialEventsEnd]: "true" } } : {};
  const value = encodeStored(resource, { metadata: annotations });
  const object = new StoredObject(resource, "", value, revision);
  return new WatchItem(EventType.bookmark, object);
}
