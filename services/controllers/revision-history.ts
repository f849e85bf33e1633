/**
 * The templates that a workload has had, as ControllerRevisions, so that `kubectl rollout` can show
 * them and go back (upstream `pkg/controller/history`).
 */
import type { ControllerRevision } from "../../proto/gen/apps.ts";
import type { PodTemplateSpec } from "../../proto/gen/core.ts";
import type { LabelSelector } from "../../proto/gen/meta.ts";
import { type ApiObject, isAlreadyExists, isNotFound } from "../client/mod.ts";
import { matchesLabels, selectorOf } from "../kinds/facts.ts";
import { canonical, hashOf } from "./canonical.ts";
import { claim, controllerOf, controllerReference } from "./owners.ts";
import type { ControllerContext } from "./types.ts";

/** Names that are tried for one template before the next reconciliation. */
const collisionsMax = 10;

/** A workload whose pods come from one template. */
interface Revised extends ApiObject {
  spec?:
    | {
        selector?: LabelSelector | undefined;
        template?: PodTemplateSpec | undefined;
        revisionHistoryLimit?: number | undefined;
      }
    | undefined;
  status?: { collisionCount?: number | undefined } | undefined;
}

export interface HistoryOptions<T extends Revised> {
  readonly kind: string;
  /** Of revisions and, with some kinds, pods: holds the hash of the template. */
  readonly hashLabel: string;
  /** From the API, never from the cache; rejects with `notFound`. */
  read(name: string, namespace: string | undefined): Promise<T>;
}

export interface Present {
  /** The revision of the template as it is. */
  readonly revision: ControllerRevision;
  readonly collisionCount: number;
  /** All, the present one among them, oldest first. */
  readonly all: readonly ControllerRevision[];
}

export class RevisionHistory<T extends Revised> {
  readonly #context: ControllerContext;
  readonly #options: HistoryOptions<T>;

  constructor(context: ControllerContext, options: HistoryOptions<T>) {
    this.#context = context;
    this.#options = options;
  }

  /** Finds or makes the revision of the present template; it then has the highest number. */
  async present(owner: T): Promise<Present> {
    const { client, write } = this.#context;
    const known = (await this.#claim(owner)).sort(byRevision);
    const data = dataOf(owner.spec?.template);
    const text = canonical(data);
    const collisionCount = owner.status?.collisionCount ?? 0;
    const found = known.filter((each) => canonical(each.data) === text).at(-1);
    const last = known.at(-1);
    const next = (last?.revision ?? 0) + 1;
    if (found === undefined) {
      const made = await this.#create(owner, data, next, collisionCount);
      return { ...made, all: [...known, made.revision] };
    }
    if (found === last) return { revision: found, collisionCount, all: known };
    const raised = await client.controllerRevisions.update({ ...found, revision: next }, write);
    const others = known.filter((each) => each !== found);
    return { revision: raised, collisionCount, all: [...others, raised] };
  }

  /** Forgets the oldest beyond the limit; those named in `live` stay. */
  async truncate(
    owner: T,
    revisions: readonly ControllerRevision[],
    live: ReadonlySet<string>,
  ): Promise<void> {
    const { client, write } = this.#context;
    const limit = owner.spec?.revisionHistoryLimit ?? 10;
    const past = revisions.filter(({ metadata }) => !live.has(metadata?.name ?? ""));
    for (const { metadata } of past.slice(0, Math.max(0, past.length - limit))) {
      const { name = "", namespace, uid = "" } = metadata ?? {};
      try {
        const options = { ...write, preconditions: { uid } };
        await client.controllerRevisions.delete(name, namespace, options);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  }

  #claim(owner: T): Promise<ControllerRevision[]> {
    const { client, informer, write } = this.#context;
    const { name = "", namespace, uid } = owner.metadata ?? {};
    const selector = selectorOf(owner.spec?.selector);
    return claim<ControllerRevision>({
      candidates: informer("ControllerRevision").lister.list(namespace),
      owner,
      reference: this.#reference(owner),
      matches: ({ metadata }) => matchesLabels(selector, metadata?.labels),
      mayAdopt: async () => {
        const { metadata } = await this.#options.read(name, namespace);
        return metadata?.uid === uid && !metadata?.deletionTimestamp;
      },
      write: (revision) => client.controllerRevisions.update(revision, write),
    });
  }

  async #create(
    owner: T,
    data: ControllerRevision["data"],
    number: number,
    collisions: number,
  ): Promise<{ revision: ControllerRevision; collisionCount: number }> {
    const { client, write } = this.#context;
    const { name = "", namespace, uid, annotations } = owner.metadata ?? {};
    for (let collisionCount = collisions; ; collisionCount++) {
      const hash = hashOf(data, collisionCount);
      const labels = { ...owner.spec?.template?.metadata?.labels, [this.#options.hashLabel]: hash };
      const revision: ControllerRevision = {
        apiVersion: "apps/v1",
        kind: "ControllerRevision",
        metadata: {
          name: `${name}-${hash}`,
          namespace,
          labels,
          ...(annotations && { annotations }),
          ownerReferences: [this.#reference(owner)],
        },
        data,
        revision: number,
      };
      try {
        return {
          revision: await client.controllerRevisions.create(revision, write),
          collisionCount,
        };
      } catch (error) {
        if (!isAlreadyExists(error) || collisionCount >= collisions + collisionsMax) throw error;
        const taken = await client.controllerRevisions.get(`${name}-${hash}`, namespace);
        const same = canonical(taken.data) === canonical(data);
        // The cache does not show it yet.
        if (same && controllerOf(taken)?.uid === uid) return { revision: taken, collisionCount };
      }
    }
  }

  #reference(owner: T) {
    return controllerReference(owner, "apps/v1", this.#options.kind);
  }
}

/** A strategic merge patch that brings the template back. */
function dataOf(template: PodTemplateSpec | undefined): ControllerRevision["data"] {
  const plain = JSON.parse(canonical(template ?? {})) as object;
  return { spec: { template: { ...plain, $patch: "replace" } } };
}

/** The template that a revision holds. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const { spec } = (revision.data ?? {}) as { spec?: { template?: object } };
  const { $patch: _, ...template } = (spec?.template ?? {}) as { $patch?: string };
  return template as PodTemplateSpec;
}

function byRevision(a: ControllerRevision, b: ControllerRevision): number {
  const [left, right] = [a.metadata?.name ?? "", b.metadata?.name ?? ""];
  return (a.revision ?? 0) - (b.revision ?? 0) || (left < right ? -1 : 1);
}
