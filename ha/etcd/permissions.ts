/**
 * Permissions on ranges, as etcd decides them: of all roles of a user the ranges that may be read
 * (and those that may be written) are united, and a request is allowed when the union covers it.
 * Source: etcd `server/auth/range_perm_cache.go`.
 */
import { type Interval, intervalOf } from "./bytes.ts";

export const PermissionKind = { read: "read", write: "write", readWrite: "readWrite" } as const;
export type PermissionKind = (typeof PermissionKind)[keyof typeof PermissionKind];

export interface Permission {
  readonly kind: PermissionKind;
  readonly key: Uint8Array;
  /** Empty: the one key; a single zero byte: everything from `key` on. */
  readonly rangeEnd: Uint8Array;
}

/** Disjoint intervals that do not touch, in order. */
type Cover = readonly Interval[];

export class Permissions {
  private readonly readable: Cover;
  private readonly writable: Cover;

  constructor(permissions: Iterable<Permission>) {
    const readable: Interval[] = [];
    const writable: Interval[] = [];
    for (const { kind, key, rangeEnd } of permissions) {
      const interval = intervalOf(key, rangeEnd);
      if (kind !== "write") readable.push(interval);
      if (kind !== "read") writable.push(interval);
    }
    this.readable = unite(readable);
    this.writable = unite(writable);
  }

  mayRead(key: Uint8Array, rangeEnd?: Uint8Array): boolean {
    return covers(this.readable, intervalOf(key, rangeEnd));
  }

  mayWrite(key: Uint8Array, rangeEnd?: Uint8Array): boolean {
    return covers(this.writable, intervalOf(key, rangeEnd));
  }
}

/** A range that a permission can be given for: of at least one key. */
export function isPermissionRange(key: Uint8Array, rangeEnd: Uint8Array): boolean {
  if (key.length === 0) return false;
  const { start, end } = intervalOf(key, rangeEnd);
  return end === undefined || start < end;
}

function unite(intervals: Interval[]): Cover {
  intervals.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const united: Interval[] = [];
  for (const interval of intervals) {
    const last = united.at(-1);
    if (last === undefined || (last.end !== undefined && last.end < interval.start)) {
      united.push(interval);
    } else if (!endsBy(interval.end, last.end)) {
      united[united.length - 1] = { start: last.start, end: interval.end };
    }
  }
  return united;
}

function endsBy(end: string | undefined, limit: string | undefined): boolean {
  return limit === undefined || (end !== undefined && end <= limit);
}

function covers(cover: Cover, wanted: Interval): boolean {
  // The last interval that begins at or before the wanted one.
  let low = 0;
  let high = cover.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const interval = cover[middle];
    if (interval !== undefined && interval.start <= wanted.start) low = middle + 1;
    else high = middle;
  }
  const found = cover[low - 1];
  return found !== undefined && endsBy(wanted.end, found.end);
}
