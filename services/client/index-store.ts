import type { ApiObject, Lister } from "./types.ts";

/** `namespace/name`, or `name` for a cluster-scoped object: the key of caches and work queues. */
export function keyOf(object: ApiObject): string {
  const { name = "", namespace } = object.metadata ?? {};
  return namespace ? `${namespace}/${name}` : name;
}

/** The reverse of {@link keyOf}. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

type IndexFunction<T> = (object: T) => readonly string[];

interface Index<T> {
  readonly values: IndexFunction<T>;
  readonly buckets: Map<string, Set<string>>;
}

const namespaceIndex = "namespace";

/** Objects by key, with secondary indexes; by namespace always. */
export class IndexStore<T extends ApiObject> implements Lister<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();

  constructor() {
    this.addIndex(namespaceIndex, (object) => [object.metadata?.namespace ?? ""]);
  }

  get size(): number {
    return this.#objects.size;
  }

  addIndex(name: string, values: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { values, buckets: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) insert(index, key, values(object));
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#objects.get(namespace ? `${namespace}/${name}` : name);
  }

  byKey(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  list(namespace?: string): readonly T[] {
    if (namespace === undefined) return [...this.#objects.values()];
    return this.byIndex(namespaceIndex, namespace);
  }

  byIndex(name: string, value: string): readonly T[] {
    const index = this.#indexes.get(name);
    if (!index) throw new RangeError(`there is no index "${name}"`);
    const found: T[] = [];
    for (const key of index.buckets.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object) found.push(object);
    }
    return found;
  }

  /** Answers what was there before. */
  set(object: T): T | undefined {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    for (const index of this.#indexes.values()) {
      if (previous === undefined) insert(index, key, index.values(object));
      else move(index, key, index.values(previous), index.values(object));
    }
    this.#objects.set(key, object);
    return previous;
  }

  delete(key: string): T | undefined {
    const previous = this.#objects.get(key);
    if (!previous) return undefined;
    for (const index of this.#indexes.values()) remove(index, key, index.values(previous));
    this.#objects.delete(key);
    return previous;
  }
}

function insert<T>(index: Index<T>, key: string, values: readonly string[]): void {
  for (const value of values) {
    const bucket = index.buckets.get(value);
    if (bucket) bucket.add(key);
    else index.buckets.set(value, new Set([key]));
  }
}

function remove<T>(index: Index<T>, key: string, values: readonly string[]): void {
  for (const value of values) {
    const bucket = index.buckets.get(value);
    if (bucket?.delete(key) && bucket.size === 0) index.buckets.delete(value);
  }
}

/** Few changes of an object are of what it is found by. */
function move<T>(
  index: Index<T>,
  key: string,
  before: readonly string[],
  after: readonly string[],
): void {
  const stays = before.length === after.length && before.every((value, at) => value === after[at]);
  if (stays) return;
  remove(index, key, before);
  insert(index, key, after);
}
