/** A program of its own: an apiserver on a store in memory that holds many pods. */
import { openLocalStore } from "../../../ha/store/mod.ts";
import { encodeStored } from "../../../services/apiserver/storage/stored-object.ts";
import { builtInRegistry, type Document } from "../../../services/kinds/mod.ts";
import { restWorld } from "../../rest/harness.ts";
import { memoryRuntime } from "../../store/memory-runtime.ts";
import type { Credentials } from "../api/lean-client.ts";

export interface Served {
  readonly pid: number;
  /** `host:port`, of REST and of gRPC. */
  readonly https: string;
  readonly grpc: string;
  readonly lister: Credentials;
  readonly reader: Credentials;
  /** Of one pod as it is stored. */
  readonly bytes: number;
}

const podsOfTxn = 128;
const [count = "1000"] = process.argv.slice(2);
const store = await openLocalStore(memoryRuntime());
const world = await restWorld({ store });
const pods = builtInRegistry().find("pod");
if (pods === undefined) throw new Error("there is no kind Pod");
const made = await world.ask("/api/v1/namespaces/default/pods", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: podOf("pod"),
});
if (made.status !== 201) throw new Error(made.text);
const template = made.json as Document;
const value = (name: string) =>
  encodeStored(pods, { ...template, metadata: { ...template.metadata, name } });
for (let from = 1; from < Number(count); from += podsOfTxn) {
  const length = Math.min(podsOfTxn, Number(count) - from);
  const success = Array.from({ length }, (_, offset) => {
    const name = `pod-${String(from + offset).padStart(7, "0")}`;
    const key = Buffer.from(`/registry/pods/default/${name}`);
    return { op: "put", key, value: value(name) } as const;
  });
  await store.txn({ compares: [], success, failure: [] });
}
const ca = world.ca;
process.send?.({
  pid: process.pid,
  https: `127.0.0.1:${world.port}`,
  grpc: `127.0.0.1:${world.server.port}`,
  lister: { ca, ...(await world.user("lister", "system:masters")) },
  reader: { ca, ...(await world.user("reader", "system:masters")) },
  bytes: value("pod-0000001").length,
} satisfies Served);

function podOf(name: string) {
  const env = Array.from({ length: 5 }, (_, index) => ({
    name: `VARIABLE_${index}`,
    value: "v".repeat(50),
  }));
  const requests = { cpu: "10m", memory: "16Mi" };
  const container = { name: "app", image: "node", command: ["node"], env, resources: { requests } };
  return {
    ...{ apiVersion: "v1", kind: "Pod", metadata: { name, labels: { app: "a" } } },
    spec: { schedulerName: "none", containers: [container] },
  };
}
