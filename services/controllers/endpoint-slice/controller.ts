import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Pod, Service } from "../../../proto/gen/core.ts";
import type { EndpointSlice } from "../../../proto/gen/discovery.ts";
import {
  type Again,
  isAlreadyExists,
  isConflict,
  isNotFound,
  keyOf,
  splitKey,
} from "../../client/mod.ts";
import { canonical } from "../canonical.ts";
import { selects } from "../endpoints.ts";
import { controllerOf } from "../owners.ts";
import type { Controller, ControllerContext } from "../types.ts";
import { manager, managerLabel, serviceLabel, slicesOf } from "./slices.ts";

/** Lists the pods behind each Service that has a selector, in slices of at most a hundred. */
export function endpointSliceController(workers: number): Controller {
  return {
    name: "endpoint-slice",
    informers: ["Service", "Pod", "Node", "EndpointSlice"],
    workers,
    start(context) {
      const { informer, on, queue } = context;
      const affected = (pod: Pod) => {
        for (const service of informer("Service").lister.list(pod.metadata?.namespace)) {
          if (selects(service, pod)) queue.add(keyOf(service));
        }
      };
      const owner = ({ metadata }: EndpointSlice) => {
        const name = metadata?.labels?.[serviceLabel];
        if (name) queue.add(`${metadata.namespace}/${name}`);
      };
      on("Service", {
        added: (service) => queue.add(keyOf(service)),
        updated: (_, service) => queue.add(keyOf(service)),
        deleted: (service) => queue.add(keyOf(service)),
      });
      on("Pod", {
        added: affected,
        updated(previous, pod) {
          affected(previous);
          affected(pod);
        },
        deleted: affected,
      });
      // A change that another client makes to what this controller keeps is put right.
      on("EndpointSlice", { updated: (_, slice) => owner(slice), deleted: owner });
      return (key) => reconcile(context, key);
    },
  };
}

async function reconcile(context: ControllerContext, key: string): Promise<Again | undefined> {
  const { informer } = context;
  const { name, namespace } = splitKey(key);
  const service = informer("Service").lister.get(name, namespace);
  const current = informer("EndpointSlice")
    .lister.list(namespace)
    .filter(({ metadata }) => {
      const { [serviceLabel]: of, [managerLabel]: by } = metadata?.labels ?? {};
      return of === name && by === manager;
    });
  // The garbage collector takes the slices of a service that is gone.
  if (!service || service.metadata?.deletionTimestamp) return undefined;
  if (Object.keys(service.spec?.selector ?? {}).length === 0) return undefined;
  if (service.spec?.type === "ExternalName") return undefined;
  try {
    return await keepSlices(context, service, current);
  } catch (error) {
    // What has changed meanwhile is compared anew, and no failure.
    if (!isConflict(error)) {
      const { message } = StatusError.from(error);
      const about = { ...service, apiVersion: "v1", kind: "Service" };
      const text = `Error updating Endpoint Slices for Service ${key}: ${message}`;
      context.recorder.event(about, "Warning", "FailedToUpdateEndpointSlices", text);
    }
    throw error;
  }
}

async function keepSlices(
  { client, informer, write }: ControllerContext,
  service: Service,
  current: readonly EndpointSlice[],
): Promise<Again | undefined> {
  const namespace = service.metadata?.namespace;
  const nodes = informer("Node").lister;
  const pods = informer("Pod").lister.list(namespace);
  const wanted = slicesOf(service, pods, (node) => nodes.get(node));
  const free = current.filter((slice) => controllerOf(slice)?.uid === service.metadata?.uid);
  const missing: EndpointSlice[] = [];
  for (const slice of wanted) {
    const like = free.findIndex((each) => canonical(contents(each)) === canonical(contents(slice)));
    if (like >= 0) free.splice(like, 1);
    else missing.push(slice);
  }
  for (const slice of missing) {
    // The type of a slice's addresses never changes.
    const usable = free.filter(({ addressType }) => addressType === slice.addressType);
    const like = usable.find((each) => canonical(each.ports) === canonical(slice.ports));
    const old = like ?? usable[0];
    if (old === undefined) {
      try {
        await client.endpointSlices.create(slice, write);
      } catch (error) {
        // The cache lags behind; what is there is compared when it arrives.
        if (!isAlreadyExists(error)) throw error;
        return { after: 100 };
      }
      continue;
    }
    free.splice(free.indexOf(old), 1);
    const { labels, annotations } = slice.metadata ?? {};
    const metadata = { ...old.metadata, labels, ...(annotations && { annotations }) };
    await client.endpointSlices.update({ ...old, ...contents(slice), metadata }, write);
  }
  for (const { metadata } of free) {
    try {
      const preconditions = { uid: metadata?.uid ?? "" };
      const options = { ...write, preconditions };
      await client.endpointSlices.delete(metadata?.name ?? "", namespace, options);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return undefined;
}

/** What a slice says, without its name. */
function contents({ addressType, endpoints, ports, metadata }: EndpointSlice) {
  return { addressType, endpoints, ports, labels: metadata?.labels };
}
