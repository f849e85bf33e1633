import type { StoredObject } from "./stored-object.ts";

/** Objects that are looked at in one step; the field of each may have to be read from its text. */
const objectsOfStep = 16;

/**
 * Keys of a kind's objects by the value of one field. What changes is noted at once and looked at
 * when the index is used next: writes do not pay for it.
 */
export class FieldIndex {
  readonly #field: string;
  readonly #values = new Map<string, string>();
  readonly #keys = new Map<string, Set<string>>();
  readonly #noted = new Map<string, StoredObject>();
  /** Objects that cannot be read have no known value: then every list looks at all objects. */
  readonly #unreadable = new Set<string>();

  constructor(field: string, objects: Iterable<StoredObject>) {
    this.#field = field;
    for (const object of objects) this.#noted.set(object.key, object);
  }

  changed(object: StoredObject): void {
    this.#noted.set(object.key, object);
  }

  removed(key: string): void {
    this.#noted.delete(key);
    this.#drop(key);
  }

  /** Looks at some of the changed objects. False: at all of them by now. */
  step(): boolean {
    let count = 0;
    for (const object of this.#noted.values()) {
      if (count++ === objectsOfStep) return true;
      this.#noted.delete(object.key);
      this.#drop(object.key);
      this.#place(object);
    }
    return false;
  }

  /**
   * Keys of the objects with this value, in no order. Undefined: too much has changed to tell at
   * once, or an object cannot be read.
   */
  find(value: string): ReadonlySet<string> | undefined {
    if (this.step() || this.#unreadable.size > 0) return undefined;
    return this.#keys.get(value) ?? none;
  }

  #place(object: StoredObject): void {
    if (!object.readable) {
      this.#unreadable.add(object.key);
      return;
    }
    const value = object.field(this.#field);
    const keys = this.#keys.get(value) ?? new Set();
    keys.add(object.key);
    this.#keys.set(value, keys);
    this.#values.set(object.key, value);
  }

  #drop(key: string): void {
    this.#unreadable.delete(key);
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#values.delete(key);
    const keys = this.#keys.get(value);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(value);
  }
}

const none: ReadonlySet<string> = new Set();
