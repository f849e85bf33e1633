import { assert } from "../../../ha/runtime/assert.ts";
import type { Document, Resource } from "../../kinds/mod.ts";
import { limits } from "../limits.ts";
import { FieldIndex } from "./field-index.ts";
import { kindPrefix } from "./keys.ts";
import type { Selection } from "./selection.ts";
import { SortedMap, type SortedView } from "./sorted-map.ts";
import { StoredObject } from "./stored-object.ts";
import { bookmark, type CacheEvent, type WatchItem } from "./watch-item.ts";
import { Watcher } from "./watcher.ts";

/** A write of this server whose event has not come yet. */
interface ExpectedWrite {
  readonly value: Uint8Array;
  readonly document: Document;
}

interface Group {
  readonly selection: Selection;
  readonly watchers: Set<Watcher>;
}

/**
 * Is told of every object that comes and goes, e.g. to keep an index; a change is a removal of the
 * old state and an addition of the new one, with nothing in between. Called synchronously before any
 * watcher is told; must be quick and must not throw.
 */
export interface ObjectObserver {
  added(object: StoredObject): void;
  removed(object: StoredObject): void;
  /**
   * Whether a change is none to the observer, which is then not told of it; absent: it is told of
   * each, as of an object removed and another one added.
   */
  isSame?(before: StoredObject, after: StoredObject): boolean;
}

/**
 * All objects of one stored kind at the watch cache's revision, its recent events, and its watchers.
 *
 * Watchers with equal selections form a group: a selector is evaluated once per event and group.
 */
export class KindCache {
  readonly resource: Resource;
  readonly prefix: string;
  readonly #objects = new SortedMap<StoredObject>();
  /** By resource and selection. */
  readonly #groups = new Map<Resource, Map<string, Group>>();
  readonly #observers: ObjectObserver[] = [];
  /** By field; made when the first list could use them. */
  readonly #indexes = new Map<string, FieldIndex>();
  /** By key, the oldest first. */
  readonly #expected = new Map<string, ExpectedWrite>();
  /** To all watchers together. */
  eventsSent = 0;
  #watchers = 0;
  #ring: CacheEvent[] = [];
  #ringHead = 0;
  #ringBytes = 0;
  /** Revision of the newest event at the last call of `age`. */
  #agedTo = 0;
  #windowStart = 0;
  #lastChange = 0;

  constructor(resource: Resource) {
    this.resource = resource;
    this.prefix = kindPrefix(resource);
  }

  get size(): number {
    return this.#objects.size;
  }

  /** How many there are. */
  get watchers(): number {
    return this.#watchers;
  }

  /** Every event after this revision is in the ring. */
  get windowStart(): number {
    return this.#windowStart;
  }

  /** Revision of the last event of this resource, or of the fill. */
  get lastChange(): number {
    return this.#lastChange;
  }

  /** Whether some of the objects cannot be read. */
  get hasUnreadable(): boolean {
    for (const object of this.#objects.from("", "")) if (!object.readable) return true;
    return false;
  }

  get(key: string): StoredObject | undefined {
    return this.#objects.get(key);
  }

  /**
   * A write is under way, whose text was made of this document: when its event comes, the document
   * need not be read from the text again. It must stay as it is, unless the write fails and is
   * forgotten. A hint only, which may be lost.
   */
  expect(key: string, write: ExpectedWrite): void {
    this.#expected.delete(key);
    this.#expected.set(key, write);
    if (this.#expected.size <= limits.expectedWrites) return;
    for (const oldest of this.#expected.keys()) {
      this.#expected.delete(oldest);
      break;
    }
  }

  forget(key: string, write: ExpectedWrite): void {
    if (this.#expected.get(key) === write) this.#expected.delete(key);
  }

  /** The object that an event of the store tells of. */
  received(key: string, value: Uint8Array, revision: number): StoredObject {
    const object = new StoredObject(this.resource, key, value, revision);
    const expected = this.#expected.get(key);
    if (expected === undefined) return object;
    this.#expected.delete(key);
    return Buffer.compare(value, expected.value) === 0 ? object.written(expected.document) : object;
  }

  /** Selected objects in key order, from `start` on (default: from the first). */
  *select(selection: Selection, start: string = selection.prefix): Generator<StoredObject> {
    if (selection.onlyKey !== undefined) {
      const object = selection.onlyKey >= start ? this.get(selection.onlyKey) : undefined;
      const shown = object?.as(selection.resource);
      if (shown !== undefined && selection.matches(shown)) yield shown;
      return;
    }
    for (const object of this.#objects.from(start, selection.prefix)) {
      const shown = object.as(selection.resource);
      if (!selection.filtered || selection.matches(shown)) yield shown;
    }
  }

  /** The index that finds what is selected, if there is to be one. */
  indexOf({ resource, indexed }: Selection): FieldIndex | undefined {
    if (indexed === undefined || resource !== this.resource) return undefined;
    let index = this.#indexes.get(indexed.field);
    if (index === undefined) {
      index = new FieldIndex(indexed.field, this.#objects.from("", ""));
      this.#indexes.set(indexed.field, index);
    }
    return index;
  }

  /** Selected objects in key order, from `start` on; undefined: no index finds them at once. */
  selectByIndex(selection: Selection, start: string): StoredObject[] | undefined {
    const found = this.indexOf(selection)?.find(selection.indexed?.value ?? "");
    if (found === undefined || found.size > limits.indexedObjects) return undefined;
    const keys = [...found].filter((key) => key >= start && key.startsWith(selection.prefix));
    const objects = keys.sort().map((key) => this.get(key));
    return objects.filter(
      (each) => each !== undefined && selection.matches(each),
    ) as StoredObject[];
  }

  /** All objects as they are now, which stay so in it. */
  view(): SortedView<StoredObject> {
    return this.#objects.view();
  }

  /** Replaces everything; watchers end, because what happened in between is unknown here. */
  reset(objects: readonly StoredObject[], revision: number): void {
    this.endWatchers();
    for (const object of this.#objects.from("", "")) this.#tellRemoved(object);
    this.#objects.clear();
    for (const object of objects) {
      this.#objects.set(object.key, object);
      this.#tellAdded(object);
    }
    this.#indexes.clear();
    this.#ring = [];
    this.#ringHead = 0;
    this.#ringBytes = 0;
    this.#windowStart = revision;
    this.#lastChange = revision;
  }

  /** Begins with everything that is there. */
  observe(observer: ObjectObserver): void {
    this.#observers.push(observer);
    for (const object of this.#objects.from("", "")) if (object.readable) observer.added(object);
  }

  #change({ object, deleted }: CacheEvent): void {
    const { key } = object;
    const before = this.#observers.length > 0 ? this.#objects.get(key) : undefined;
    if (deleted) {
      if (before !== undefined) this.#tellRemoved(before);
      this.#objects.delete(key);
      for (const index of this.#indexes.values()) index.removed(key);
      return;
    }
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) index.changed(object);
    if (before === undefined) this.#tellAdded(object);
    else this.#tellChanged(before, object);
  }

  #tellChanged(before: StoredObject, after: StoredObject): void {
    const bothReadable = before.readable && after.readable;
    for (const observer of this.#observers) {
      if (bothReadable && observer.isSame?.(before, after)) continue;
      if (before.readable) observer.removed(before);
      if (after.readable) observer.added(after);
    }
  }

  /** What cannot be read is not told of. */
  #tellAdded(object: StoredObject): void {
    if (this.#observers.length === 0 || !object.readable) return;
    for (const observer of this.#observers) observer.added(object);
  }

  #tellRemoved(object: StoredObject): void {
    if (!object.readable) return;
    for (const observer of this.#observers) observer.removed(object);
  }

  /** The events of one revision, in order. */
  apply(events: readonly CacheEvent[]): void {
    for (const event of events) {
      assert(event.revision >= this.#lastChange, "events come in the order of revisions");
      this.#lastChange = event.revision;
      this.#change(event);
      this.#ring.push(event);
      this.#ringBytes += event.size;
    }
    this.#trimRing();
    for (const group of this.#allGroups()) {
      const items = itemsOf(events, group.selection);
      if (items.length === 0) continue;
      for (const watcher of group.watchers) watcher.offer(items);
      this.eventsSent += items.length * group.watchers.size;
    }
  }

  /**
   * Recent events after `revision`, then everything that comes; `revision` must not be before
   * `windowStart`.
   */
  watchAfter(
    revision: number,
    selection: Selection,
    wantsBookmarks: boolean,
  ): { readonly recent: WatchItem[]; readonly watcher: Watcher } {
    assert(revision >= this.#windowStart, "the ring reaches back to the revision");
    const recent = itemsOf(this.#eventsAfter(revision), selection);
    return { recent, watcher: this.#register(selection, wantsBookmarks) };
  }

  sendBookmarks(revision: number): void {
    for (const [resource, groups] of this.#groups) {
      let item: WatchItem | undefined;
      for (const { watchers } of groups.values()) {
        for (const watcher of watchers) {
          if (!watcher.wantsBookmarks) continue;
          item ??= bookmark(resource, revision);
          watcher.offer([item]);
        }
      }
    }
  }

  /** Of one resource that shows these objects, or of all. */
  endWatchers(resource?: Resource): void {
    for (const group of [...this.#allGroups()]) {
      if (resource !== undefined && group.selection.resource !== resource) continue;
      for (const watcher of [...group.watchers]) watcher.end();
    }
  }

  *allWatchers(): Generator<Watcher> {
    for (const { watchers } of this.#allGroups()) yield* watchers;
  }

  *#allGroups(): Generator<Group> {
    for (const groups of this.#groups.values()) yield* groups.values();
  }

  #register(selection: Selection, wantsBookmarks: boolean): Watcher {
    const { resource, id } = selection;
    const groups = this.#groups.get(resource) ?? new Map<string, Group>();
    this.#groups.set(resource, groups);
    let group = groups.get(id);
    if (group === undefined) {
      group = { selection, watchers: new Set() };
      groups.set(id, group);
    }
    const { watchers } = group;
    const watcher = new Watcher(wantsBookmarks, (ended) => {
      watchers.delete(ended);
      this.#watchers--;
      if (watchers.size === 0) groups.delete(id);
      if (groups.size === 0 && this.#groups.get(resource) === groups) this.#groups.delete(resource);
    });
    watchers.add(watcher);
    this.#watchers++;
    return watcher;
  }

  #eventsAfter(revision: number): CacheEvent[] {
    let low = this.#ringHead;
    let high = this.#ring.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ring[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#ring.slice(low);
  }

  /**
   * Lets go of the events that were there at the last call already, but for a few: what is not asked
   * for any more must not fill the memory. Watches from further back read the store's history.
   */
  age(): void {
    while (
      this.#ring.length - this.#ringHead > limits.ringEventsMin &&
      (this.#ring[this.#ringHead]?.revision ?? 0) <= this.#agedTo
    ) {
      this.#dropOldest();
    }
    this.#agedTo = this.#lastChange;
    this.#packRing();
  }

  #trimRing(): void {
    while (
      this.#ring.length - this.#ringHead > limits.ringEvents ||
      this.#ringBytes > limits.ringBytes
    ) {
      if (!this.#dropOldest()) return;
    }
    if (this.#ringHead > this.#ring.length / 2) this.#packRing();
  }

  #dropOldest(): boolean {
    const oldest = this.#ring[this.#ringHead];
    if (oldest === undefined) return false;
    this.#ringHead += 1;
    this.#ringBytes -= oldest.size;
    this.#windowStart = oldest.revision;
    return true;
  }

  #packRing(): void {
    if (this.#ringHead === 0) return;
    this.#ring = this.#ring.slice(this.#ringHead);
    this.#ringHead = 0;
  }
}

function itemsOf(events: readonly CacheEvent[], selection: Selection): WatchItem[] {
  const items: WatchItem[] = [];
  for (const event of events) {
    const item = event.itemFor(selection);
    if (item !== undefined) items.push(item);
  }
  return items;
}
