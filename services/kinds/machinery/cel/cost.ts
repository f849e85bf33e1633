/**
 * What an expression may cost at most, estimated from the bounds of the schema (KEP-2876, "estimated
 * cost"): a loop over a list costs what its body costs, as often as the list may be long. Lists and
 * texts without a bound are as long as fit into a request.
 */
import { isSchema, type SchemaNode } from "../structural/node.ts";

export const ruleCostMax = 10_000_000;
export const schemaCostMax = 100_000_000;

const requestBytes = 3 * 1024 * 1024;

interface Sizes {
  /** Elements, entries or characters that the schema allows; infinite without a bound. */
  readonly bound: number;
  /** Likewise, at most as fit into a request. */
  readonly most: number;
  /** How many values like this one fit into a request. */
  readonly perRequest: number;
}

const known = new WeakMap<SchemaNode, Sizes>();

export function sizesOf(node: SchemaNode): Sizes {
  let sizes = known.get(node);
  if (sizes === undefined) {
    const bound = boundOf(node);
    const inner = node.items ?? (typeof node.additional === "object" ? node.additional : undefined);
    const element = inner === undefined ? 1 : minimumBytes(inner) + (node.items ? 1 : 5);
    const most = Math.min(bound, Math.floor(requestBytes / element));
    const perRequest = Math.floor(requestBytes / (minimumBytes(node) + 1));
    sizes = { bound, most, perRequest };
    known.set(node, sizes);
  }
  return sizes;
}

function boundOf({ props }: SchemaNode): number {
  switch (props.type) {
    case "array":
      return props.maxItems ?? Number.POSITIVE_INFINITY;
    case "object":
      return props.maxProperties ?? Number.POSITIVE_INFINITY;
    case "string": {
      if (props.enum !== undefined) {
        return Math.max(0, ...props.enum.slice(0, 10_000).map((each) => String(each).length));
      }
      const lengths: Readonly<Record<string, number>> = { date: 10, "date-time": 40, duration: 32 };
      return props.maxLength ?? lengths[props.format ?? ""] ?? Number.POSITIVE_INFINITY;
    }
    default:
      return 1;
  }
}

/** Bytes of the shortest JSON text of a value that the schema allows. */
function minimumBytes({ props, properties }: SchemaNode): number {
  switch (props.type) {
    case "array":
    case "string":
      return 2;
    case "boolean":
      return 4;
    case "object": {
      const needed = (props.required ?? []).filter((name) => properties.has(name));
      return needed.reduce((sum, name) => {
        const property = properties.get(name);
        const own = property === undefined || property.hasDefault ? 0 : name.length + 4 + 1;
        return sum + own;
      }, 2);
    }
    default:
      return 1;
  }
}

interface Estimate {
  readonly cost: number;
  /** Elements or characters of the result. */
  readonly size: number;
  /** The schema of the result, or of its elements, where it is known. */
  readonly schema?: SchemaNode | undefined;
  readonly element?: SchemaNode | undefined;
}

type Scope = ReadonlyMap<string, Estimate>;

/** At most what one evaluation costs, for a value of the schema. */
export function expressionCost(tree: unknown, self: SchemaNode): number {
  const known = ofSchema(self, 1);
  return estimate(tree, new Map([["self", known] as const, ["oldSelf", known] as const])).cost;
}

function ofSchema(schema: SchemaNode | undefined, cost: number): Estimate {
  if (schema === undefined) return { cost, size: 1 };
  const more = typeof schema.additional === "object" ? schema.additional : undefined;
  return { cost, size: sizesOf(schema).most, schema, element: schema.items ?? more };
}

interface Tree {
  readonly op: string;
  readonly args: unknown;
  readonly meta?: { readonly alternate?: unknown; readonly macro?: unknown };
}

function estimate(value: unknown, scope: Scope): Estimate {
  if (typeof value !== "object" || value === null) return { cost: 0, size: 1 };
  const { op, args, meta } = value as Tree;
  if (meta?.alternate !== undefined) return estimate(meta.alternate, scope);
  switch (op) {
    case "value":
      return { cost: 0, size: literalSize(args) };
    case "id":
      return { ...(scope.get(String(args)) ?? { size: 1 }), cost: 1 };
    case ".":
    case ".?":
    case "[]":
    case "[?]":
      return access(op, args as unknown[], scope);
    case "comprehension":
      return comprehension(args as Comprehension, scope);
    case "accuPush":
      return estimate(args, scope);
    case "?:": {
      const [condition, one, other] = (args as unknown[]).map((each) => estimate(each, scope));
      const cost = (condition?.cost ?? 0) + Math.max(one?.cost ?? 0, other?.cost ?? 0);
      return { ...largest([one, other]), cost };
    }
    case "call":
    case "rcall":
      return call(op, args as unknown[], scope);
    default:
      return operator(op, args, scope);
  }
}

function access(op: string, [of, by]: readonly unknown[], scope: Scope): Estimate {
  const inner = estimate(of, scope);
  const index = op.startsWith("[") ? estimate(by, scope).cost : 0;
  const cost = inner.cost + index + 1;
  const field = op.startsWith(".") ? inner.schema?.properties.get(String(by)) : undefined;
  return ofSchema(field ?? inner.element, cost);
}

interface Comprehension {
  readonly iterable: unknown;
  readonly step: unknown;
  readonly iterVarName: string;
  readonly kind?: string;
}

function comprehension(args: Comprehension, scope: Scope): Estimate {
  const { iterable, step, iterVarName, kind } = args;
  const range = estimate(iterable, scope);
  const { schema, element } = range;
  // Over a map, the keys are gone through.
  const item =
    schema !== undefined && !isSchema(schema.props.items)
      ? { cost: 0, size: 32 }
      : ofSchema(element, 0);
  const body = estimate(step, new Map([...scope, [iterVarName, item]]));
  const cost = range.cost + range.size * (body.cost + 1);
  return kind === "quantifier"
    ? { cost, size: 1 }
    : { cost, size: range.size, element: body.schema };
}

function call(op: string, args: readonly unknown[], scope: Scope): Estimate {
  const name = String(args[0]);
  const parts = op === "rcall" ? [args[1], ...(args[2] as unknown[])] : (args[1] as unknown[]);
  const estimates = parts.map((each) => estimate(each, scope));
  const cost = estimates.reduce((sum, each) => sum + each.cost, 1);
  const [first = 1, second = 1] = estimates.map(({ size }) => size);
  const text = first / 10;
  switch (name) {
    case "matchesRe2":
    case "matches":
    case "find":
    case "findAll":
      return { cost: cost + text * Math.max(second / 4, 1), size: first };
    case "contains":
      return { cost: cost + text * Math.max(second / 10, 1), size: 1 };
    case "startsWith":
    case "endsWith":
      return { cost: cost + second / 10, size: 1 };
    case "indexOf":
    case "lastIndexOf":
    case "isSorted":
    case "sum":
    case "min":
    case "max":
      return { cost: cost + first, size: 1 };
    case "split":
    case "replace":
    case "lowerAscii":
    case "upperAscii":
    case "trim":
    case "substring":
    case "join":
    case "url":
      return { cost: cost + text, size: first };
    default:
      return { ...largest(estimates), cost };
  }
}

function operator(op: string, args: unknown, scope: Scope): Estimate {
  const parts = (Array.isArray(args) ? args.flat() : [args]).map((each) => estimate(each, scope));
  const cost = parts.reduce((sum, each) => sum + each.cost, 1);
  const [one, other] = parts;
  const sizes = [one?.size ?? 1, other?.size ?? 1] as const;
  switch (op) {
    case "==":
    case "!=":
    case "<":
    case "<=":
    case ">":
    case ">=":
      return { cost: cost + Math.min(...sizes) / 10, size: 1 };
    case "in":
      return { cost: cost + (other?.schema?.items === undefined ? 0 : sizes[1]), size: 1 };
    case "+":
      return { cost: cost + (sizes[0] + sizes[1]) / 10, size: sizes[0] + sizes[1] };
    case "list":
      return { cost, size: parts.length };
    default:
      return { cost, size: 1 };
  }
}

function largest(estimates: readonly (Estimate | undefined)[]): Estimate {
  const nothing: Estimate = { cost: 0, size: 1 };
  return estimates.reduce<Estimate>(
    (best, each) => (each !== undefined && each.size > best.size ? each : best),
    nothing,
  );
}

function literalSize(value: unknown): number {
  return typeof value === "string" || Array.isArray(value) ? value.length : 1;
}

/** In upstream's words. */
export function costMessage(name: string, cost: number, limit: number): string {
  const factor = cost / limit;
  const text =
    factor > 100
      ? "more than 100x"
      : factor < 1.5
        ? `${factor.toFixed(6)}x`
        : `${factor.toFixed(1)}x`;
  return (
    `${name} exceeds budget by factor of ${text} (try simplifying the rule, or adding maxItems, ` +
    "maxProperties, and maxLength where arrays, maps, and strings are declared)"
  );
}
