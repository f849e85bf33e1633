/** The admission chain: what a cluster asks of a write beyond what the resource itself asks. */

import type { StatusError } from "../../../ha/runtime/status-error.ts";
import { inSpan, type Traced } from "../../../ha/runtime/trace.ts";
import type { Compare, KeyValue, Operation } from "../../../ha/store/types.ts";
import type { Document, Resource } from "../../kinds/mod.ts";
import type { User } from "../request-info.ts";

/** One write, as plugins see it (upstream `admission.Attributes`). */
export interface AdmissionRequest {
  readonly user: User;
  /** Who comes to manage the fields that an update changes. */
  readonly manager?: string;
  /** `connect`: a stream into a pod or through it begins; `document` has its options. */
  readonly operation: "create" | "update" | "delete" | "connect";
  readonly resource: Resource;
  readonly subresource: string;
  readonly namespace: string;
  /** "" while the name of a new object is still to be generated. */
  readonly name: string;
  /**
   * What the object is to become; `mutate` changes it in place: of a write of the status that alone,
   * for the rest is shared with the stored document. Undefined: the object is deleted.
   */
  readonly document: Document | undefined;
  /** What the store holds, which must not be changed. Undefined: the object is created. */
  readonly stored: Document | undefined;
  readonly dryRun: boolean;
  /** Told to the caller although the request succeeds. */
  readonly warnings: string[];
  /** Notes something in the audit log; absent where there is none. */
  readonly annotate?: Annotate | undefined;
  /** Whose spans are made of the work, and what webhooks are told of the trace. */
  readonly traced?: Traced | undefined;
  /** What plugins note about this request between their hooks and between attempts, by plugin. */
  readonly notes: Map<string, unknown>;
}

/** `level` Request: only where the audit log has the request's body, which the value shows. */
type Annotate = (key: string, value: string, level?: "Request") => void;

/** What else the transaction of a write must check and change. */
export interface Companions {
  readonly compares: readonly Compare[];
  readonly operations: readonly Operation[];
  /** Keys to be read when a compare fails, for `explain`. */
  readonly reads: readonly string[];
  /** Why the transaction was refused; undefined: another attempt may succeed. */
  explain?(found: ReadonlyMap<string, KeyValue | undefined>): StatusError | undefined;
}

/**
 * One rule of the cluster. The chain calls, for each attempt of a write, every plugin's `mutate`,
 * then the resource's own validation, then every plugin's `validate`, then every `companions`. An
 * attempt that loses its compare is made again on the new state, so hooks may run several times.
 *
 * `mutate` and `validate` throw the StatusError that refuses the request; they may wait, but every
 * millisecond is added to the write. `companions` must not wait and has no side effects.
 *
 * ```ts
 * const noLatest: AdmissionPlugin = {
 *   name: "no-latest-images",
 *   resources: ["pods"],
 *   operations: ["create"],
 *   validate({ resource, name, document }) {
 *     if (usesLatest(document)) throw forbidden(resource, name, "images need a tag");
 *   },
 * };
 * ```
 */
export interface AdmissionPlugin {
  readonly name: string;
  /** `plural` or `plural.group`; absent: every resource. */
  readonly resources?: readonly string[];
  /** Absent: every operation. */
  readonly operations?: readonly AdmissionRequest["operation"][];
  /**
   * It concerns whatever the cluster's users have configured, connections and the documents of
   * subresources included: `check` calls these alone.
   */
  readonly dynamic?: true;
  mutate?(request: AdmissionRequest): void | Promise<void>;
  validate?(request: AdmissionRequest): void | Promise<void>;
  companions?(request: AdmissionRequest): Companions | undefined;
}

/**
 * A note: a plugin that is not built in has changed the object, so that every `mutate` is called once
 * more. It stands while that is done.
 */
export const againNote = "again";

/** The work is a span of its own, if the request has one. */
function spanned(
  name: string,
  request: AdmissionRequest,
  work: (request: AdmissionRequest) => Promise<void>,
): Promise<void> {
  const { traced } = request;
  if (traced?.span === undefined) return work(request);
  return inSpan(traced, name, (span) => work({ ...request, traced: { span } }));
}

/** One after the other; those that are done at once cost no turn of the loop. */
async function call(
  hook: "mutate" | "validate",
  plugins: readonly AdmissionPlugin[],
  request: AdmissionRequest,
): Promise<void> {
  for (const plugin of plugins) {
    const working = plugin[hook]?.(request);
    if (working !== undefined) await working;
  }
}

/** Runs its plugins in the order in which they are listed. */
export class AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];
  readonly #chosen = new Map<string, readonly AdmissionPlugin[]>();

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#plugins = plugins;
  }

  mutate(request: AdmissionRequest): Promise<void> {
    return spanned("admission mutate", request, async (each) => {
      const plugins = this.#pluginsOf(each);
      await call("mutate", plugins, each);
      if (!each.notes.has(againNote)) return;
      await call("mutate", plugins, each);
      each.notes.delete(againNote);
    });
  }

  /** For what is no write of the resource's objects: a connection, an eviction, a binding. */
  check(request: AdmissionRequest): Promise<void> {
    return spanned("admission check", request, async (each) => {
      const dynamic = this.#plugins.filter((plugin) => plugin.dynamic);
      await call("mutate", dynamic, each);
      each.notes.delete(againNote);
      await call("validate", dynamic, each);
    });
  }

  validate(request: AdmissionRequest): Promise<void> {
    return spanned("admission validate", request, (each) =>
      call("validate", this.#pluginsOf(each), each),
    );
  }

  companions(request: AdmissionRequest): Companions {
    const all: Companions[] = [];
    for (const plugin of this.#pluginsOf(request)) {
      const companions = plugin.companions?.(request);
      if (companions !== undefined) all.push(companions);
    }
    const [first] = all;
    if (first === undefined) return none;
    if (all.length === 1) return first;
    return {
      compares: all.flatMap((each) => each.compares),
      operations: all.flatMap((each) => each.operations),
      reads: all.flatMap((each) => each.reads),
      explain(found) {
        for (const each of all) {
          const error = each.explain?.(found);
          if (error !== undefined) return error;
        }
        return undefined;
      },
    };
  }

  /** Chosen once per resource and operation: most writes concern one or two plugins. */
  #pluginsOf({ resource, operation }: AdmissionRequest): readonly AdmissionPlugin[] {
    const { plural, group } = resource;
    const name = group === "" ? plural : `${plural}.${group}`;
    const key = `${operation} ${name}`;
    let chosen = this.#chosen.get(key);
    if (chosen === undefined) {
      chosen = this.#plugins.filter(
        ({ resources, operations }) =>
          (resources === undefined || resources.includes(name)) &&
          (operations === undefined || operations.includes(operation)),
      );
      this.#chosen.set(key, chosen);
    }
    return chosen;
  }
}

const none: Companions = { compares: [], operations: [], reads: [] };
