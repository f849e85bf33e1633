/** What the kernel has, route by route, so that a change of one costs nothing for the others. */
import type { Element, RouteRules } from "./chains.ts";
import type { TableState } from "./table.ts";

export class LiveTable {
  readonly #chains = new Map<string, readonly string[]>();
  readonly #sets = new Map<string, string>();
  /** Of routes that claim the same element, the first has it, and the next when that one goes. */
  readonly #claims = new Map<string, Element[]>();

  add({ chains, sets, elements }: RouteRules): void {
    for (const [name, rules] of chains) this.#chains.set(name, rules);
    for (const [name, definition] of sets) this.#sets.set(name, definition);
    for (const element of elements) {
      const claims = this.#claims.get(keyOf(element));
      if (claims === undefined) this.#claims.set(keyOf(element), [element]);
      else claims.push(element);
    }
  }

  /** The same object that was added. */
  remove({ chains, sets, elements }: RouteRules): void {
    for (const name of chains.keys()) this.#chains.delete(name);
    for (const name of sets.keys()) this.#sets.delete(name);
    for (const element of elements) {
      const claims = this.#claims.get(keyOf(element)) ?? [];
      claims.splice(claims.indexOf(element), 1);
      if (claims.length === 0) this.#claims.delete(keyOf(element));
    }
  }

  /** Of all that the kernel has, what these routes name. */
  view(routes: readonly RouteRules[]): TableState {
    const chains = new Map<string, readonly string[]>();
    const sets = new Map<string, string>();
    const elements = new Map<string, Element>();
    for (const route of routes) {
      for (const name of route.chains.keys()) {
        const rules = this.#chains.get(name);
        if (rules !== undefined) chains.set(name, rules);
      }
      for (const name of route.sets.keys()) {
        const definition = this.#sets.get(name);
        if (definition !== undefined) sets.set(name, definition);
      }
      for (const element of route.elements) {
        const [claim] = this.#claims.get(keyOf(element)) ?? [];
        if (claim !== undefined) elements.set(keyOf(element), claim);
      }
    }
    return { chains, sets, elements };
  }
}

function keyOf({ set, key }: Element): string {
  return `${set} ${key}`;
}
