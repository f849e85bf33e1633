import type { Rule, Target } from "../../services/kube-proxy/rules.ts";

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
    affinitySeconds: undefined,
    affinityKey: "d/s:",
    namespace: "d",
    service: "s",
    ...more,
  };
}
