/**
 * Keeps the status of definitions: accepts names, establishes, and deletes the objects of a
 * definition that is deleted. Each round starts from the cache and writes with the resourceVersion seen
 * there (see {@link LeadingLoop}).
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionStatus,
} from "../../../proto/gen/apiextensions.ts";
import { cleanupFinalizer } from "../../kinds/apiextensions/custom-resource-definition/custom-resource-definition.ts";
import { type Document, isConditionTrue, type Resource, withCondition } from "../../kinds/mod.ts";
import { createSelection } from "../storage/selection.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "../verbs/backend.ts";
import { documentBody } from "../verbs/body.ts";
import { internalCall } from "../verbs/call.ts";
import { removeCollection } from "../verbs/delete.ts";
import { LeadingLoop } from "../verbs/leading-loop.ts";
import { waitForCache } from "../verbs/resource-version.ts";
import { update } from "../verbs/update.ts";
import { statusOf, type UsedNames } from "./names.ts";

/** As whom a master writes of definitions (upstream's loopback user). */
const loopUser = { name: "system:apiserver", groups: ["system:masters", "system:authenticated"] };

export class DefinitionLoop {
  readonly #backend: Backend;
  readonly #definitions: Resource;
  readonly #loop: LeadingLoop;

  constructor(backend: Backend, definitions: Resource) {
    this.#backend = backend;
    this.#definitions = definitions;
    this.#loop = new LeadingLoop(backend, (closed) => this.#round(closed));
  }

  /** Something may be to do. */
  changed(): void {
    this.#loop.changed();
  }

  close(): void {
    this.#loop.close();
  }

  async #round(closed: () => boolean): Promise<boolean> {
    const objects = this.#objects();
    const names = new NamesInUse(this.#backend, objects);
    let pending = false;
    for (const object of objects) {
      if (closed()) return false;
      try {
        if (await this.#settle(object, names)) pending = true;
      } catch (thrown) {
        const { code, message } = StatusError.from(thrown);
        // Changed or deleted meanwhile: the cache tells of it.
        if (code === Code.aborted || code === Code.notFound) continue;
        pending = true;
        const { log } = this.#backend;
        log.warn("a definition's status could not be written", { name: object.name, message });
      }
    }
    return pending;
  }

  /** The oldest first: it comes before others that want its names. */
  #objects(): StoredObject[] {
    const selection = createSelection(this.#definitions, {});
    return [...this.#backend.cache.of(this.#definitions).select(selection)].sort((one, other) => {
      const [before, after] = [ageOf(one), ageOf(other)];
      return before < after ? -1 : before > after ? 1 : 0;
    });
  }

  /** Answers whether something is left to be done. */
  async #settle(object: StoredObject, names: NamesInUse): Promise<boolean> {
    const definition = object.document as CustomResourceDefinition;
    const { metadata, status = {} } = definition;
    if (metadata?.deletionTimestamp !== undefined) {
      if (!(metadata.finalizers ?? []).includes(cleanupFinalizer)) return false;
      return this.#terminate(object, definition);
    }
    const next = statusOf(definition, names.usedBeside(object), this.#backend.now());
    names.grant(object, next);
    if (next !== status) await this.#write(object, next);
    return false;
  }

  async #write(object: StoredObject, status: CustomResourceDefinitionStatus): Promise<void> {
    const document: Document = { ...object.copy(), status };
    await update(this.#backend, internalCall(loopUser), this.#definitions, {
      body: documentBody(document),
      subresource: "status",
      typed: false,
    });
  }

  async #terminate(object: StoredObject, definition: CustomResourceDefinition): Promise<boolean> {
    const { status = {} } = definition;
    const established = isConditionTrue(status.conditions, "Established");
    const resource = established ? this.#served(definition) : undefined;
    if (resource !== undefined && !(await this.#empty(resource))) {
      const condition = terminating(
        "True",
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
      );
      const conditions = withCondition(status.conditions, condition, this.#backend.now());
      if (JSON.stringify(conditions) !== JSON.stringify(status.conditions)) {
        await this.#write(object, { ...status, conditions });
      }
      return true;
    }
    const condition = established
      ? terminating("False", "InstanceDeletionCompleted", "removed all instances")
      : terminating("False", "NeverEstablished", "resource was never established");
    const conditions = withCondition(status.conditions, condition, this.#backend.now());
    const next = object.copy();
    next.metadata = {
      ...next.metadata,
      finalizers: (next.metadata?.finalizers ?? []).filter((each) => each !== cleanupFinalizer),
    };
    next["status"] = { ...status, conditions };
    await update(this.#backend, internalCall(loopUser), this.#definitions, {
      body: documentBody(next),
      subresource: "",
      typed: false,
    });
    return false;
  }

  #served({ spec = {} }: CustomResourceDefinition): Resource | undefined {
    const { registry } = this.#backend;
    for (const { name } of spec.versions ?? []) {
      const found = registry.byPlural(`${spec.group}/${name}`, spec.names?.plural ?? "");
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Deletes what there is; true: nothing is left. */
  async #empty(resource: Resource): Promise<boolean> {
    const { cache } = this.#backend;
    await waitForCache(this.#backend, resource, undefined);
    const namespaces = new Set<string>();
    let left = false;
    for (const { source } of cache.of(resource).select(createSelection(resource, {}))) {
      left = true;
      const { deletionTimestamp, namespace = "" } = source.document.metadata ?? {};
      if (deletionTimestamp === undefined) namespaces.add(namespace);
    }
    for (const namespace of namespaces) {
      const selection = { namespace };
      await removeCollection(this.#backend, internalCall(loopUser), resource, { selection });
    }
    if (!left) return true;
    await waitForCache(this.#backend, resource, undefined);
    const [first] = cache.of(resource).select(createSelection(resource, {}));
    return first === undefined;
  }
}

function terminating(status: string, reason: string, message: string) {
  return { type: "Terminating", status, reason, message };
}

function ageOf(object: StoredObject): string {
  return `${object.document.metadata?.creationTimestamp ?? ""} ${object.key}`;
}

/** The names that are taken in each group, as this round finds and grants them. */
class NamesInUse {
  readonly #backend: Backend;
  readonly #accepted = new Map<StoredObject, CustomResourceDefinition>();

  constructor(backend: Backend, objects: readonly StoredObject[]) {
    this.#backend = backend;
    for (const object of objects) {
      this.#accepted.set(object, object.document as CustomResourceDefinition);
    }
  }

  grant(object: StoredObject, status: CustomResourceDefinitionStatus): void {
    const definition = object.document as CustomResourceDefinition;
    this.#accepted.set(object, { ...definition, status });
  }

  usedBeside(object: StoredObject): UsedNames {
    const { spec } = object.document as CustomResourceDefinition;
    const resources = new Set<string>();
    const kinds = new Set<string>();
    for (const [other, { spec: itsSpec, status }] of this.#accepted) {
      if (other === object || itsSpec?.group !== spec?.group) continue;
      const { plural, singular, shortNames = [], kind, listKind } = status?.acceptedNames ?? {};
      for (const name of [plural, singular, ...shortNames]) if (name) resources.add(name);
      for (const name of [kind, listKind]) if (name) kinds.add(name);
    }
    for (const built of this.#backend.registry) {
      if (built.group !== spec?.group || built.storedAs !== undefined) continue;
      for (const name of [built.plural, built.singular, ...built.shortNames]) resources.add(name);
      kinds.add(built.kind).add(`${built.kind}List`);
    }
    return { resources, kinds };
  }
}
