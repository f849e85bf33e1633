/** What the balancer knows of a REST request, from its method and path alone. */
import type { Method } from "./methods.ts";

interface RestMethod extends Method {
  /** The request ends by itself: it has a time limit. */
  readonly limited: boolean;
}

/** A GET, HEAD or OPTIONS that ends by itself. */
const read: RestMethod = {
  shape: "unary",
  singleRequest: true,
  repeatable: "read",
  forLeader: false,
  resumed: undefined,
  anyMaster: false,
  limited: true,
};

/** The masters' own health and version: answered without a quorum too. */
const probe: RestMethod = { ...read, anyMaster: true };

/** A change of an object of the API; masters know its request id again. */
const write: RestMethod = { ...read, repeatable: "write", forLeader: true };

/** What else changes something, so that it may not be done twice. */
const opaque: RestMethod = { ...read, repeatable: "opaque" };

const watch: RestMethod = { ...read, shape: "stream", resumed: "end", limited: false };

/** Logs, and what goes through to a pod, a service or a node: it takes as long as it takes. */
const longRead: RestMethod = { ...read, shape: "stream", limited: false };
const longOpaque: RestMethod = { ...longRead, repeatable: "opaque" };

const reads: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Subresources whose requests are not limited in time (upstream's long-running requests). */
const longSubresource = /\/(?:log|proxy|exec|attach|portforward)(?:\/|$)/;

const probes = /^\/(?:livez|readyz|healthz|version)(?:\/|$)/;

export function restMethodOf(httpMethod: string, target: string): RestMethod {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const reading = reads.has(httpMethod);
  const inApi = path.startsWith("/api/") || path.startsWith("/apis/");
  if (!inApi) {
    if (!reading) return opaque;
    return probes.test(path) ? probe : read;
  }
  if (longSubresource.test(path) && isLongRunning(path)) return reading ? longRead : longOpaque;
  if (!reading) return write;
  if (mark >= 0 && isSet(target, mark, "watch")) return watch;
  return isOldWatch(path) ? watch : read;
}

/** `/api/v1/…` or `/apis/GROUP/VERSION/…`, without this beginning. */
function partsOf(path: string): readonly string[] {
  const parts = path.split("/").slice(1);
  return parts.slice(parts[0] === "api" ? 2 : 3);
}

function isLongRunning(path: string): boolean {
  const parts = partsOf(path);
  const scoped = parts[0] === "namespaces" && parts.length > 3;
  const [, , subresource] = scoped ? parts.slice(2) : parts;
  return subresource !== undefined && longSubresource.test(`/${subresource}`);
}

/** `/api/v1/watch/pods`, a form of old. */
function isOldWatch(path: string): boolean {
  return path.includes("/watch/") && partsOf(path)[0] === "watch";
}

/** As Kubernetes reads a flag in a query: set, unless its value is "false" or "0". */
function isSet(target: string, mark: number, name: string): boolean {
  if (!target.includes(name, mark)) return false;
  const value = new URLSearchParams(target.slice(mark + 1)).get(name);
  return value !== null && value.toLowerCase() !== "false" && value !== "0";
}

const unitMillis: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000_001,
};

/**
 * Milliseconds of the `timeout` in a query, a duration as Go writes it; undefined where there is
 * none, or none that can be read: its master tells the client so.
 */
export function queryTimeoutMillis(target: string): number | undefined {
  const mark = target.indexOf("?");
  if (mark < 0 || !target.includes("timeout=", mark)) return undefined;
  const text = new URLSearchParams(target.slice(mark + 1)).get("timeout");
  if (text === null || !/^(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|us|µs|ns|m|s))+$/.test(text)) {
    return undefined;
  }
  let millis = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)([a-zµ]+)/g)) {
    millis += Number(amount) * (unitMillis[unit ?? ""] ?? 0);
  }
  return millis > 0 ? millis : undefined;
}
