/** The same requests over gRPC and over REST: what the benchmark measures, whatever the wire. */
import { ConfigMapsService, PodsService } from "../../../proto/gen/core.ts";
import type { LeanClient } from "./lean-client.ts";
import type { RestClient } from "./rest-client.ts";

export interface ApiFace {
  readonly name: string;
  createConfigMap(name: string, app: string): Promise<void>;
  createPod(name: string, app: string): Promise<void>;
  getConfigMap(name: string): Promise<void>;
  listPods(app: string): Promise<void>;
  /** Ends with the connection. `event` is called with each one. */
  watchConfigMaps(app: string, event: () => void): Promise<void>;
  close(): void;
}

/** Calls are dealt out to the clients in turn. */
function dealt<T>(clients: readonly T[]): () => T {
  let next = 0;
  return () => {
    const client = clients[next++ % clients.length];
    if (client === undefined) throw new Error("there are no clients");
    return client;
  };
}

export function grpcFace(name: string, clients: readonly LeanClient[], namespace: string): ApiFace {
  const client = dealt(clients);
  const { create, get, watch } = ConfigMapsService;
  const object = (value: object) => ({ object: value }) as never;
  return {
    name,
    createConfigMap: (called, app) =>
      client().call(
        create.path,
        create.requestSerialize(object(configMap(called, app, namespace))),
      ),
    createPod: (called, app) => {
      const { path, requestSerialize } = PodsService.create;
      return client().call(path, requestSerialize(object(pod(called, app, namespace))));
    },
    getConfigMap: (called) =>
      client().call(get.path, get.requestSerialize({ name: called, namespace })),
    listPods: (app) => {
      const { path, requestSerialize } = PodsService.list;
      return client().call(path, requestSerialize({ namespace, labelSelector: `app=${app}` }));
    },
    watchConfigMaps: (app, event) => {
      const request = watch.requestSerialize({ namespace, labelSelector: `app=${app}` });
      return client().call(watch.path, request, event);
    },
    close: () => {
      for (const each of clients) each.close();
    },
  };
}

export function restFace(name: string, clients: readonly RestClient[], namespace: string): ApiFace {
  const client = dealt(clients);
  const configMaps = `/api/v1/namespaces/${namespace}/configmaps`;
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const body = (document: object) => Buffer.from(JSON.stringify(document));
  return {
    name,
    createConfigMap: (called, app) =>
      client().post(configMaps, body(configMap(called, app, namespace))),
    createPod: (called, app) => client().post(pods, body(pod(called, app, namespace))),
    getConfigMap: (called) => client().get(`${configMaps}/${called}`),
    listPods: (app) => client().get(`${pods}?labelSelector=app%3D${app}`),
    watchConfigMaps: (app, event) =>
      client().get(`${configMaps}?watch=true&labelSelector=app%3D${app}`, event),
    close: () => {
      for (const each of clients) each.close();
    },
  };
}

function configMap(name: string, app: string, namespace: string) {
  const metadata = { name, namespace, labels: { app } };
  const about = { apiVersion: "v1", kind: "ConfigMap" };
  return { ...about, metadata, data: { value: "v".repeat(256) } };
}

/** For a scheduler that does not exist, so that it stays as it is. */
function pod(name: string, app: string, namespace: string) {
  const env = Array.from({ length: 20 }, (_, n) => {
    return { name: `VARIABLE_${n}`, value: "v".repeat(70) };
  });
  const resources = { requests: { cpu: "10m", memory: "16Mi" }, limits: { memory: "64Mi" } };
  const container = { name: "app", image: "node", command: ["node", "-e", "0"], env, resources };
  const metadata = { name, namespace, labels: { app } };
  const spec = { schedulerName: "none", containers: [container] };
  return { apiVersion: "v1", kind: "Pod", metadata, spec };
}
