/** What is seen of a cluster, one thing at a moment, whatever the source. */
import type { CallTroubles } from "../journal.ts";

export type Observation = {
  /** Unix ms. */
  readonly at: number;
  /** Who says so: a process, the supervisor, or a kind of object. */
  readonly source: string;
} /** The supervisor began, or ends, the cluster. */ & (
  | { readonly kind: "up" | "down" }
  | { readonly kind: "start"; readonly process: string }
  | { readonly kind: "exit"; readonly process: string; readonly how: string }
  /** Which leader a member knows from now on; undefined: none. */
  | {
      readonly kind: "leader";
      readonly member: string;
      readonly leader: string | undefined;
      readonly term: number;
    }
  | ({ readonly kind: "calls" } & CallTroubles)
  /** What is told as it is, once for each text and second. */
  | { readonly kind: ToldKind; readonly text: string }
);

type ToldKind = "link" | "lease" | "node" | "pod" | "event" | "slow" | "log";

/** A source that could not be asked. */
export interface Gap {
  readonly source: string;
  readonly why: string;
}

export interface Seen {
  readonly observations: readonly Observation[];
  readonly gaps: readonly Gap[];
}

/** Times of interest, in Unix ms. */
export interface Window {
  readonly from: number;
  readonly to: number;
}
