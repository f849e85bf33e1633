/** Changes as watch events; each is made once and shared by all its watchers. */
import type { AppliedChange, History } from "./history.ts";
import type { Change } from "./layout.ts";
import { keyValue } from "./range.ts";
import { bytesOf, inRange } from "./text.ts";
import type { KeyValue, Revision, WatchEvent } from "./types.ts";
import type { WatchScope } from "./watch-stream.ts";

const none = new Uint8Array(0);

/** An applied change with its events, made when first asked for. */
export class ChangeEvents {
  readonly change: AppliedChange;
  private plain: WatchEvent | undefined;
  private full: WatchEvent | undefined;

  constructor(change: AppliedChange) {
    this.change = change;
  }

  event(withPrevious: boolean): WatchEvent {
    if (this.plain === undefined) this.plain = eventOf(this.change, undefined);
    if (!withPrevious) return this.plain;
    if (this.full === undefined) {
      const { previous } = this.change;
      const { type, kv } = this.plain;
      const before = previous === undefined ? undefined : keyValue(kv.key, previous);
      this.full = { type, kv, previous: before };
    }
    return this.full;
  }
}

function eventOf(change: Change, previous: KeyValue | undefined): WatchEvent {
  const key = bytesOf(change.key);
  const kv: KeyValue = {
    key,
    value: change.deleted ? none : bytesOf(change.value),
    createRevision: change.create as Revision,
    modRevision: change.mod as Revision,
    version: change.version,
    lease: change.lease,
  };
  return { type: change.deleted ? "delete" : "put", kv, previous };
}

/** Whether a watcher of this scope wants to know of a change. */
export function wants(scope: WatchScope, change: Change): boolean {
  if (change.deleted ? !scope.deletes : !scope.puts) return false;
  return inRange(change.key, scope.start, scope.end);
}

/** The event of a change read from history, or undefined when the watcher does not want it. */
export function pastEvent(
  history: History,
  scope: WatchScope,
  change: Change,
): WatchEvent | undefined {
  if (!wants(scope, change)) return undefined;
  return eventOf(change, scope.previous ? previousOf(history, change) : undefined);
}

/** The previous version of the key; undefined also when it was compacted away, as in etcd. */
function previousOf(history: History, change: Change): KeyValue | undefined {
  if (change.mod <= history.compactRevision) return undefined;
  const entry = history.entries.get(change.key);
  if (entry === undefined) return undefined;
  const mod = history.modAt(entry, change.mod - 1);
  if (mod === undefined) return undefined;
  return keyValue(bytesOf(change.key), history.versionOf(entry, mod));
}
