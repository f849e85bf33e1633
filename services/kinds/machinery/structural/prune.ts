/** What a structural schema takes from a document: unknown fields, and nulls that may not be. */
import { isObject, type JsonObject } from "../json.ts";
import { childOf, resourceFields, type SchemaNode } from "./node.ts";

/** Removes in place what the schema does not know; answers the paths of it, at most `pathsMax`. */
export function pruneUnknown(
  root: SchemaNode,
  document: JsonObject,
  pathsMax: number,
  isResource = true,
): string[] {
  const pruning = new Pruning(pathsMax);
  pruning.object(root, document, "", isResource);
  return pruning.paths;
}

class Pruning {
  readonly paths: string[] = [];
  readonly #pathsMax: number;

  constructor(pathsMax: number) {
    this.#pathsMax = pathsMax;
  }

  object(node: SchemaNode, value: JsonObject, path: string, isResource: boolean): void {
    for (const name of Object.keys(value)) {
      if (isResource && resourceFields.has(name)) continue;
      const at = path === "" ? name : `${path}.${name}`;
      const child = childOf(node, name);
      if (child === true) continue;
      if (child !== undefined) this.#value(child, value[name], at);
      else if (!node.preserve) {
        delete value[name];
        if (this.paths.length < this.#pathsMax) this.paths.push(at);
      }
    }
  }

  #value(node: SchemaNode, value: unknown, path: string): void {
    if (Array.isArray(value)) {
      const { items } = node;
      if (items === undefined) return;
      value.forEach((each, index) => {
        this.#value(items, each, `${path}[${index}]`);
      });
    } else if (isObject(value)) this.object(node, value, path, node.embedded);
  }
}
