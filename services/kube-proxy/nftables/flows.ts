/**
 * The kernel remembers where the datagrams of a client went. Connections end by themselves, but
 * datagrams would follow an endpoint that is gone for as long as their client sends: such memories
 * are deleted (upstream `pkg/proxy/conntrack`).
 */
import { dialects, type Family } from "../family.ts";
import type { Flow } from "./chains.ts";

export interface StaleFlow {
  readonly ip: string | undefined;
  readonly port: number;
  /** Undefined: whatever it went to, or nowhere, while there was no endpoint. */
  readonly endpoint: string | undefined;
}

/** More are not worth a program each. */
const staleMax = 1_000;

export function flowKey({ ip, port }: Flow): string {
  return `${ip ?? "node"}:${port}`;
}

/** By {@link flowKey}. */
export function staleFlows(
  before: ReadonlyMap<string, Flow>,
  after: ReadonlyMap<string, Flow>,
): readonly StaleFlow[] {
  const stale: StaleFlow[] = [];
  for (const [key, { ip, port, endpoints }] of before) {
    const now = new Set(after.get(key)?.endpoints ?? []);
    for (const endpoint of endpoints) if (!now.has(endpoint)) stale.push({ ip, port, endpoint });
  }
  for (const [key, { ip, port, endpoints }] of after) {
    const first = (before.get(key)?.endpoints.length ?? 0) === 0 && endpoints.length > 0;
    if (first) stale.push({ ip, port, endpoint: undefined });
  }
  return stale.slice(0, staleMax);
}

/** Arguments of conntrack(8). */
export function conntrackArguments(
  { ip, port, endpoint }: StaleFlow,
  family: Family,
): readonly string[] {
  return [
    ...["-D", "-f", dialects[family].conntrack, "-p", "udp"],
    ...(ip === undefined ? [] : ["--orig-dst", ip]),
    ...["--orig-port-dst", String(port)],
    ...(endpoint === undefined ? [] : ["--dst-nat", endpoint]),
  ];
}
