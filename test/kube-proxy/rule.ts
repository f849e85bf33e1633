import type { Target } from "../../services/kube-proxy/endpoints.ts";
import type { Rule } from "../../services/kube-proxy/rules.ts";

export function ruleOf(
  ip: string,
  port: number,
  targets: readonly Target[],
  more: Partial<Rule> = {},
): Rule {
  return {
    key: `TCP ${ip}:${port}`,
    protocol: "TCP",
    ip,
    port,
    targets,
    perClientNode: false,
    sourceRanges: undefined,
    affinitySeconds: undefined,
    affinityKey: "d/s:",
    namespace: "d",
    service: "s",
    ...more,
  };
}
