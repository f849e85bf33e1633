/** What the clients of a run asked for and what they were told: the checkers judge by it. */

/** A call of Pods/Bind, or a part of one of Pods/BindAll. */
interface Binding {
  readonly pod: string;
  readonly uid: string;
  readonly node: string;
  readonly caller: string;
  acknowledged: boolean;
}

export interface Evidence {
  readonly bindings: Binding[];
  /** Calls with several bindings. */
  batches: number;
  /** uids of pods whose creation was acknowledged, with their `namespace/name`. */
  readonly created: Map<string, string>;
  /** `namespace/name` of pods whose deletion a client asked for, acknowledged or not. */
  readonly deletionsAsked: Set<string>;
  /** Lists that informers had to repeat. */
  relists: number;
  calls: number;
  /** Calls that were tried again under the same request id. */
  repeats: number;
  leaderships: number;
}

export function newEvidence(): Evidence {
  return {
    bindings: [],
    batches: 0,
    created: new Map(),
    deletionsAsked: new Set(),
    relists: 0,
    calls: 0,
    repeats: 0,
    leaderships: 0,
  };
}
