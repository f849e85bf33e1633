/** What is soaked: a cluster, and the load that is put on it. */
import type { MaintenanceClient } from "../../../proto/gen/etcd.ts";

/** Calls of a while, and how long they took in milliseconds. */
export interface Done {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export interface Subject {
  /** What a call of the load is, and at how many at once the peak is found. */
  readonly title: string;
  readonly members: readonly { readonly pid: number; readonly maintenance: MaintenanceClient }[];
  /** As many calls as it takes. */
  atPeak(seconds: number): Promise<Done>;
  /** So many calls a second, begun when they are due. The data are as before afterwards. */
  atRate(perSecond: number, seconds: number): Promise<Done>;
  /** Removes history that is older than the last call of it; absent: it goes by itself. */
  readonly compact?: () => Promise<void>;
}
