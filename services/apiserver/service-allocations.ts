/**
 * Finds addresses and ports of services whose keys were lost, or belong to no service any more, and
 * puts that right; two services with the same one are told so. The transactions of the API never let
 * that happen: what is written past them does.
 */
import { createHash } from "node:crypto";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Cancel } from "../../ha/runtime/types.ts";
import type { Service } from "../../proto/gen/core.ts";
import { type Document, rfc3339Seconds } from "../kinds/mod.ts";
import { limits } from "./limits.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { type Allocation, type Fault, planRepairs, type Ranges } from "./service-repairs.ts";
import { keyBytes, prefixRange, serviceAllocationsPrefix } from "./storage/keys.ts";
import { createSelection } from "./storage/selection.ts";
import { LeadingLoop } from "./verbs/leading-loop.ts";
import { type Backend, create, documentBody, internalCall } from "./verbs/mod.ts";

/** From now on, every few minutes, until the signal aborts. */
export function keepServiceAllocations(
  backend: Backend,
  ranges: Ranges,
  signal: AbortSignal,
): void {
  const { cache, clock, log } = backend;
  let timer: Cancel | undefined;
  const loop = new LeadingLoop(backend, async () => {
    if (!cache.filled) return false;
    try {
      await repairServiceAllocations(backend, ranges);
    } catch (thrown) {
      const { message } = StatusError.from(thrown);
      log.warn("what services hold could not be compared; it is tried again", { message });
    }
    return false;
  });
  const look = () => {
    loop.changed();
    timer = clock.after(limits.serviceRepairMillis, look);
  };
  cache.whenFilled().then(look, () => loop.close());
  const stop = () => {
    timer?.();
    loop.close();
  };
  signal.addEventListener("abort", stop, { once: true });
}

/** One look. Answers how much was put right. */
export async function repairServiceAllocations(backend: Backend, ranges: Ranges): Promise<number> {
  const { store, cache, registry, log } = backend;
  const services = registry.required("v1", "Service");
  const { kvs, revision } = await store.range(prefixRange(serviceAllocationsPrefix));
  // What the services hold is then at least as new as their keys.
  await cache.waitFor(revision);
  const allocations = new Map<string, Allocation>(
    kvs.map(({ key, value, modRevision }) => [
      Buffer.from(key).toString("utf8"),
      { owner: Buffer.from(value).toString("utf8"), revision: modRevision },
    ]),
  );
  const selection = createSelection(services, { namespace: "" });
  const all = [...cache.of(services).select(selection)].map(({ document }) => document as Service);
  const { faults, leaks } = planRepairs(all, allocations, ranges);
  let repaired = 0;
  for (const fault of faults) {
    if (fault.claim !== undefined) {
      const { key, owner, revision: before } = fault.claim;
      const written = await change(backend, key, before, Buffer.from(owner));
      // Another one was faster, or the service has just been written.
      if (!written) continue;
      repaired++;
    }
    await tell(backend, fault);
  }
  for (const { key, revision: before } of leaks) {
    if (!(await change(backend, key, before, undefined))) continue;
    repaired++;
    log.warn("what no service holds is free again", { key });
  }
  return repaired;
}

/** Undefined deletes. False: something else stands there now. */
async function change(
  { store }: Backend,
  key: string,
  revision: number,
  value: Uint8Array | undefined,
): Promise<boolean> {
  const bytes = keyBytes(key);
  const { succeeded } = await store.txn({
    compares: [{ key: bytes, target: "mod", operator: "=", operand: revision }],
    success: [
      value === undefined ? { op: "delete", key: bytes } : { op: "put", key: bytes, value },
    ],
    failure: [],
  });
  return succeeded;
}

/** Once in the life of an event, however often it is found. */
async function tell(backend: Backend, { service, event }: Fault): Promise<void> {
  const { name = "", namespace = "default", uid, resourceVersion } = service.metadata ?? {};
  const now = rfc3339Seconds(backend.now());
  const hash = createHash("sha256").update(`${uid} ${event.message}`).digest("hex").slice(0, 16);
  const about = { apiVersion: "v1", kind: "Service", name, namespace, uid, resourceVersion };
  const document: Document = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${hash}`, namespace },
    ...{ involvedObject: about, type: "Warning", ...event, count: 1 },
    ...{ firstTimestamp: now, lastTimestamp: now, source: { component: "service-repair" } },
  };
  const events = backend.registry.required("v1", "Event");
  try {
    await create(backend, internalCall(apiserverUser), events, { body: documentBody(document) });
  } catch (thrown) {
    if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
  }
}
