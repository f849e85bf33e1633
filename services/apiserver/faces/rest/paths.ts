/** Paths that are about no resource: discovery, health, the version, and what others add. */
import type { User } from "../../request-info.ts";
import { jsonResponse } from "./answers.ts";
import type { RestResponse } from "./types.ts";

export interface PlainRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly user: User;
  headers(name: string): readonly string[];
}

/** Called when the user may see the path. Throws StatusError. */
export type PlainPath = (request: PlainRequest) => RestResponse | Promise<RestResponse>;

/**
 * Handlers by path. A path that ends with a slash stands for everything below it, unless a longer
 * one fits. Only GET and HEAD are served.
 */
export class PathTable {
  readonly #exact = new Map<string, PlainPath>();
  readonly #below: { readonly prefix: string; readonly handler: PlainPath }[] = [];

  add(path: string, handler: PlainPath): void {
    if (path === "/" || !path.endsWith("/")) {
      this.#exact.set(path, handler);
      return;
    }
    this.#below.push({ prefix: path, handler });
    this.#below.sort((one, other) => other.prefix.length - one.prefix.length);
  }

  find(path: string): PlainPath | undefined {
    const trimmed = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
    const exact = this.#exact.get(trimmed);
    if (exact !== undefined) return exact;
    return this.#below.find(({ prefix }) => path.startsWith(prefix))?.handler;
  }

  get paths(): string[] {
    return [...this.#exact.keys()];
  }
}

/** `/`: all that can be asked for. */
export function rootPaths(paths: () => readonly string[]): PlainPath {
  return () => jsonResponse({ paths: [...new Set(paths())].sort() });
}
