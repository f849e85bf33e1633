/** Many pods in the store of a world, without a request for each. */
import { encodeStored } from "../../services/apiserver/storage/stored-text.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { kind } from "../apiserver/harness.ts";
import type { RestWorld } from "./harness.ts";

const podsOfTxn = 128;

/**
 * `pod-0000000` and so on in the namespace default, of about 2 KB each, every third with the label
 * third=yes, every tenth on the node `node-0`. Answers the bytes of one.
 */
export async function fillPods({ ask, store }: RestWorld, count: number): Promise<number> {
  const path = "/api/v1/namespaces/default/pods";
  const made = await ask(path, { method: "POST", body: podOf("template") });
  if (made.status !== 201) throw new Error(made.text);
  const template = made.json as Document;
  await ask(`${path}/template?gracePeriodSeconds=0`, { method: "DELETE" });
  const value = (index: number, name: string) => {
    const third = index % 3 === 0 ? { third: "yes" } : {};
    const labels = { ...template.metadata?.labels, ...third };
    const spec = { ...(template as { spec?: object }).spec };
    const placed = index % 10 === 0 ? { ...spec, nodeName: "node-0" } : spec;
    const metadata = { ...template.metadata, name, labels };
    return encodeStored(kind("pod"), { ...template, metadata, spec: placed } as Document);
  };
  for (let from = 0; from < count; from += podsOfTxn) {
    const length = Math.min(podsOfTxn, count - from);
    const success = Array.from({ length }, (_, offset) => {
      const name = `pod-${String(from + offset).padStart(7, "0")}`;
      const key = Buffer.from(`/registry/pods/default/${name}`);
      return { op: "put", key, value: value(from + offset, name) } as const;
    });
    await store.txn({ compares: [], success, failure: [] });
  }
  return value(0, "pod-0000000").length;
}

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
