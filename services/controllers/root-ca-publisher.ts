import type { ConfigMap } from "../../proto/gen/core.ts";
import { isAlreadyExists, isNotFound, keyOf } from "../client/mod.ts";
import type { Controller } from "./types.ts";

const mapName = "kube-root-ca.crt";
const dataKey = "ca.crt";
const descriptionKey = "kubernetes.io/description";
const annotations = {
  [descriptionKey]:
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal " +
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is " +
    "guaranteed across distributions of Kubernetes clusters.",
};

/** Other data is taken out; the description may be changed, but not taken away. */
function isPublished({ data = {}, metadata }: ConfigMap, certificate: string): boolean {
  const described = (metadata?.annotations?.[descriptionKey] ?? "") !== "";
  return described && data[dataKey] === certificate && Object.keys(data).length === 1;
}

/** Every namespace has the ConfigMap `kube-root-ca.crt`, by which its pods know the apiserver. */
export function rootCaPublisher(certificate: string, workers: number): Controller {
  return {
    name: "root-ca-certificate-publisher",
    informers: ["Namespace", "ConfigMap"],
    workers,
    start({ client, informer, on, queue, write }) {
      on("Namespace", {
        added: (namespace) => queue.add(keyOf(namespace)),
        updated: (_, namespace) => queue.add(keyOf(namespace)),
      });
      const published = ({ metadata }: ConfigMap) => {
        if (metadata?.name === mapName) queue.add(metadata.namespace ?? "");
      };
      on("ConfigMap", { updated: (_, map) => published(map), deleted: published });
      return async (namespace) => {
        const found = informer("Namespace").lister.get(namespace);
        if (found === undefined || found.metadata?.deletionTimestamp !== undefined) return;
        const map = informer("ConfigMap").lister.get(mapName, namespace);
        const data = { [dataKey]: certificate };
        try {
          if (map === undefined) {
            const metadata = { name: mapName, namespace, annotations };
            await client.configMaps.create({ metadata, data }, write);
          } else if (!isPublished(map, certificate)) {
            const metadata = {
              ...map.metadata,
              annotations: { ...map.metadata?.annotations, ...annotations },
            };
            await client.configMaps.update({ ...map, metadata, data }, write);
          }
        } catch (error) {
          // The cache lags behind, or the namespace goes.
          if (!isAlreadyExists(error) && !isNotFound(error)) throw error;
        }
      };
    },
  };
}
