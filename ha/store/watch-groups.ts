/**
 * Finds the synced watchers of a change. Watchers of one key are found by the key; ranges lie in
 * order of their start, each with the furthest end up to it, so that the search for a key stops
 * where no earlier range can reach it. Disjoint ranges (one per kind) cost one step.
 */
import { inRange, unbounded } from "./text.ts";
import type { WatchEvent } from "./types.ts";
import type { ChangeEvents } from "./watch-events.ts";
import { wants } from "./watch-events.ts";
import type { Watcher, WatchScope } from "./watch-stream.ts";

export class WatchGroup {
  readonly name: string;
  readonly scope: WatchScope;
  readonly watchers: Watcher[] = [];
  /** Events of the present turn. */
  events: WatchEvent[] = [];
  constructor(name: string, scope: WatchScope) {
    this.name = name;
    this.scope = scope;
  }
}

export class WatchGroups {
  private readonly groups = new Map<string, WatchGroup>();
  private readonly byKey = new Map<string, WatchGroup[]>();
  /** In order of `scope.start`. */
  private readonly ranges: WatchGroup[] = [];
  /** The furthest end among `ranges[0..i]`; empty: not computed yet. */
  private furthest: string[] = [];
  private touched: WatchGroup[] = [];

  /** Groups with a watcher. */
  get size(): number {
    return this.groups.size;
  }

  join(watcher: Watcher): void {
    const name = nameOf(watcher.scope);
    let group = this.groups.get(name);
    if (group === undefined) {
      group = new WatchGroup(name, watcher.scope);
      this.groups.set(name, group);
      this.place(group);
    }
    watcher.scope = group.scope;
    watcher.group = group;
    watcher.position = group.watchers.length;
    group.watchers.push(watcher);
  }

  /** The last watcher of its group takes its place. */
  leave(watcher: Watcher): void {
    const { group, position } = watcher;
    if (group === undefined) return;
    watcher.group = undefined;
    watcher.position = -1;
    const last = group.watchers.pop();
    if (last !== undefined && last !== watcher) {
      group.watchers[position] = last;
      last.position = position;
    }
    if (group.watchers.length > 0) return;
    this.groups.delete(group.name);
    this.remove(group);
  }

  private place(group: WatchGroup): void {
    const { start, end } = group.scope;
    if (end === undefined) {
      const same = this.byKey.get(start);
      if (same === undefined) this.byKey.set(start, [group]);
      else same.push(group);
      return;
    }
    this.ranges.splice(this.upperBound(start), 0, group);
    this.furthest = [];
  }

  private remove(group: WatchGroup): void {
    const { start, end } = group.scope;
    if (end !== undefined) {
      this.ranges.splice(this.ranges.indexOf(group), 1);
      this.furthest = [];
      return;
    }
    const left = this.byKey.get(start)?.filter((other) => other !== group) ?? [];
    if (left.length === 0) this.byKey.delete(start);
    else this.byKey.set(start, left);
  }

  /** The first range that begins after `key`. */
  private upperBound(key: string): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ranges[middle] as WatchGroup).scope.start <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Gives a change to all groups that want it. */
  add(item: ChangeEvents): void {
    const { key } = item.change;
    const exact = this.byKey.get(key);
    if (exact !== undefined) for (const group of exact) this.give(group, item);
    if (this.ranges.length === 0) return;
    if (this.furthest.length === 0) this.measure();
    for (let index = this.upperBound(key) - 1; index >= 0; index--) {
      if ((this.furthest[index] as string) <= key) return;
      const group = this.ranges[index] as WatchGroup;
      if (inRange(key, group.scope.start, group.scope.end)) this.give(group, item);
    }
  }

  private give(group: WatchGroup, item: ChangeEvents): void {
    if (!wants(group.scope, item.change)) return;
    if (group.events.length === 0) this.touched.push(group);
    group.events.push(item.event(group.scope.previous));
  }

  private measure(): void {
    let furthest = "";
    this.furthest = this.ranges.map(({ scope }) => {
      const end = scope.end ?? unbounded;
      if (end > furthest) furthest = end;
      return furthest;
    });
  }

  /** The groups with events, each of which must be emptied by the caller. */
  takeTouched(): WatchGroup[] {
    const { touched } = this;
    if (touched.length > 0) this.touched = [];
    return touched;
  }
}

function nameOf({ start, end, previous, puts, deletes }: WatchScope): string {
  const flags = `${previous ? "p" : ""}${puts ? "+" : ""}${deletes ? "-" : ""}`;
  return `${start.length},${flags},${start}${end === undefined ? "" : `/${end}`}`;
}
