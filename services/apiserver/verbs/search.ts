/** How the objects of a page are found in the cache: in steps, between which others are served. */
import { pieceTurns } from "../../../ha/rpc/mod.ts";
import type { KindCache } from "../storage/kind-cache.ts";
import type { Selection } from "../storage/selection.ts";
import type { SortedView } from "../storage/sorted-map.ts";
import type { StoredObject } from "../storage/stored-object.ts";

export interface SearchRequest {
  /** The first key that may be found. */
  readonly start: string;
  readonly limit: number;
  /** The caller has left. */
  readonly signal: AbortSignal | undefined;
}

interface Result {
  readonly items: readonly StoredObject[];
  /** The first object behind a full page. */
  readonly beyond: StoredObject | undefined;
  /** All objects at the moment of the call. */
  readonly view: SortedView<StoredObject>;
}

/** An index is made in slices, and then only told of what has changed since. */
export async function bringIndexUp(
  cache: KindCache,
  selection: Selection,
  signal: AbortSignal | undefined,
): Promise<void> {
  const index = cache.indexOf(selection);
  if (index?.step()) await pieceTurns.inSlices(() => index.step(), signal);
}

/** Finds what is there at the moment of the call, however long it takes to look. */
export async function search(
  cache: KindCache,
  selection: Selection,
  { start, limit, signal }: SearchRequest,
): Promise<Result> {
  const { prefix, filtered } = selection;
  const view = cache.view();
  const few =
    selection.onlyKey === undefined
      ? cache.selectByIndex(selection, start)
      : [...cache.select(selection, start)];
  const runs = few === undefined ? view.runs(start, prefix) : [few].values();
  const found = new Search(selection, limit, runs);
  const effort = few?.length ?? view.countFrom(start, prefix);
  // A short search is done at once.
  if (Math.min(effort, filtered ? effort : limit) <= objectsAtOnce) while (found.step());
  else await pieceTurns.inSlices(() => found.step(), signal);
  const { items, beyond } = found;
  return { items, beyond, view };
}

/** Objects that a search looks at without a pause, and in one of many steps with a selector. */
const objectsAtOnce = 500;
const objectsOfStep = 32;

/** A search through objects in the order of their keys, in steps. */
class Search {
  readonly items: StoredObject[] = [];
  /** The first object behind a full page. */
  beyond: StoredObject | undefined;
  readonly #selection: Selection;
  readonly #limit: number;
  readonly #runs: Iterator<readonly StoredObject[]>;
  #run: readonly StoredObject[] = [];
  #next = 0;

  constructor(selection: Selection, limit: number, runs: Iterator<readonly StoredObject[]>) {
    this.#selection = selection;
    this.#limit = limit;
    this.#runs = runs;
  }

  /** False: the search is over. */
  step(): boolean {
    if (this.#next === this.#run.length) {
      const { done, value } = this.#runs.next();
      if (done) return false;
      this.#run = value;
      this.#next = 0;
    }
    const { resource, filtered } = this.#selection;
    const end = filtered
      ? Math.min(this.#run.length, this.#next + objectsOfStep)
      : this.#run.length;
    while (this.#next < end) {
      const shown = (this.#run[this.#next++] as StoredObject).as(resource);
      if (filtered && !this.#selection.matches(shown)) continue;
      if (this.items.length === this.#limit) {
        this.beyond = shown;
        return false;
      }
      this.items.push(shown);
    }
    return true;
  }
}
