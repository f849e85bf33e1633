import type { Node } from "../../../proto/gen/core.ts";
import type { AdmissionPlugin } from "./chain.ts";

const notReady = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" } as const;

/**
 * A node that has just been made is given no pods until the node controller has seen that it is
 * ready (upstream's TaintNodesByCondition). One that is made ready has nothing to wait for.
 */
export function taintNewNodes(): AdmissionPlugin {
  return {
    name: "taint-new-nodes",
    resources: ["nodes"],
    operations: ["create"],
    mutate({ document, subresource }) {
      if (document === undefined || subresource !== "") return;
      const node = document as Node;
      const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
      if (ready?.status === "True") return;
      const taints = node.spec?.taints ?? [];
      const has = taints.some(
        ({ key, effect }) => key === notReady.key && effect === notReady.effect,
      );
      if (!has) node.spec = { ...node.spec, taints: [...taints, { ...notReady }] };
    },
  };
}
