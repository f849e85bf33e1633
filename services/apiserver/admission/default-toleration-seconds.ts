import type { Pod, Toleration } from "../../../proto/gen/core.ts";
import type { AdmissionPlugin } from "./chain.ts";

/** How long pods stay on a node that is lost, unless they say so themselves. */
export interface TolerationSeconds {
  readonly notReady: number;
  readonly unreachable: number;
}

/**
 * Pods that say nothing about lost nodes tolerate them for a while (upstream's
 * DefaultTolerationSeconds).
 */
export function defaultTolerationSeconds(seconds: TolerationSeconds): AdmissionPlugin {
  const defaults: readonly Toleration[] = [
    tolerationOf("node.kubernetes.io/not-ready", seconds.notReady),
    tolerationOf("node.kubernetes.io/unreachable", seconds.unreachable),
  ];
  return {
    name: "default-toleration-seconds",
    resources: ["pods"],
    operations: ["create", "update"],
    mutate({ document, subresource }) {
      const { spec } = (document ?? {}) as Pod;
      if (spec === undefined || subresource !== "") return;
      const given = spec.tolerations ?? [];
      const missing = defaults.filter(({ key }) => !given.some((each) => speaksOf(each, key)));
      if (missing.length > 0) {
        spec.tolerations = [...given, ...missing.map((each) => ({ ...each }))];
      }
    },
  };
}

function tolerationOf(key: string, tolerationSeconds: number): Toleration {
  return { key, operator: "Exists", effect: "NoExecute", tolerationSeconds };
}

/** No key means every taint; no effect, every effect. */
function speaksOf({ key = "", effect = "" }: Toleration, taint: string | undefined): boolean {
  return (key === taint || key === "") && (effect === "NoExecute" || effect === "");
}
