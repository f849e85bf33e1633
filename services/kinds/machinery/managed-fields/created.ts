/**
 * The fields that a new object has. Most objects of a kind have the same fields under the same keys
 * and differ in their values alone: the set is worked out once for each such shape.
 */
import type { FieldType } from "../field-type.ts";
import { isObject } from "../json.ts";
import type { Document, Resource } from "../resource.ts";
import { compare, entryType, itemType, listOf, type View, viewOf } from "./compare.ts";
import { difference, type FieldSet, union } from "./field-set.ts";
import { unmanagedFields } from "./managers.ts";
import { itemElement } from "./path-element.ts";
import { shared } from "./shared.ts";
import { emptyDocument, typeOf } from "./types.ts";

/** Steps of the shapes of one type that are remembered; when they are too many, all are forgotten. */
const stepsMax = 20_000;

/** Throws MisfitError for a list whose elements cannot be told apart. */
export function createdFields(resource: Pick<Resource, "schema">, document: Document): FieldSet {
  const type = typeOf(resource);
  let shapes = known.get(type);
  if (shapes === undefined || shapes.isFull) {
    shapes = new Shapes(type);
    known.set(type, shapes);
  }
  const last = shapes.walk(shapes.first, document);
  last.fields ??= shared(fieldsOf(resource, document));
  return last.fields;
}

function fieldsOf(resource: Pick<Resource, "schema">, document: Document): FieldSet {
  const { added, modified } = compare(typeOf(resource), emptyDocument(resource), document);
  return difference(union(modified, added), unmanagedFields);
}

/** What a value is seen as, or where an object or list of parts ends. */
const Mark = { null: 0, whole: 1, entries: 2, items: 3, misfit: 4, end: 5 } as const;
type Mark = (typeof Mark)[keyof typeof Mark];

/**
 * A place on the way through a document. The way consists of whatever of the document the set of
 * its fields depends on: documents that end at the same step have the same set.
 */
class Step {
  /** Of the value that comes next. */
  readonly type: FieldType;
  /** How it is seen, whatever it is; undefined: that depends on the value. */
  readonly view: View | undefined;
  /** By `Mark`. */
  marks: (Step | undefined)[] | undefined;
  /** By the name of an entry, or by the element of an item: it follows from the way here, which. */
  parts: Map<string, Step> | undefined;
  fields: FieldSet | undefined;

  constructor(type: FieldType) {
    this.type = type;
    this.view = type.kind === "untyped" ? undefined : viewOf(type, undefined);
  }
}

class Shapes {
  readonly first: Step;
  #steps = 0;

  constructor(type: FieldType) {
    this.first = new Step(type);
  }

  get isFull(): boolean {
    return this.#steps >= stepsMax;
  }

  /** The step behind the value. */
  walk(from: Step, value: unknown): Step {
    if (value === null) return this.#mark(from, Mark.null);
    const view = from.view ?? viewOf(from.type, value);
    if (view.as === "whole") return this.#mark(from, Mark.whole);
    if (view.as === "items") {
      if (!Array.isArray(value)) return this.#mark(from, Mark.misfit);
      let step = this.#mark(from, Mark.items);
      for (const item of listOf(value)) {
        const element = itemElement(view.type, item);
        const next = step.parts?.get(element);
        step = this.walk(next ?? this.#part(step, element, itemType(view.type)), item);
      }
      return this.#mark(step, Mark.end);
    }
    if (!isObject(value)) return this.#mark(from, Mark.misfit);
    let step = this.#mark(from, Mark.entries);
    for (const name of Object.keys(value)) {
      const part = value[name];
      if (part === undefined) continue;
      const next = step.parts?.get(name);
      step = this.walk(next ?? this.#part(step, name, entryType(view.type, name)), part);
    }
    return this.#mark(step, Mark.end);
  }

  #mark(from: Step, mark: Mark): Step {
    const known = from.marks?.[mark];
    if (known !== undefined) return known;
    const step = new Step(from.type);
    if (!this.#remembers()) return step;
    from.marks ??= [];
    from.marks[mark] = step;
    return step;
  }

  #part(from: Step, name: string, type: FieldType): Step {
    const step = new Step(type);
    if (!this.#remembers()) return step;
    from.parts ??= new Map();
    from.parts.set(name, step);
    return step;
  }

  #remembers(): boolean {
    if (this.isFull) return false;
    this.#steps += 1;
    return true;
  }
}

const known = new WeakMap<FieldType, Shapes>();
