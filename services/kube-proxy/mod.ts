/** Services on loopback addresses, by relaying in user space. */
export { KubeProxy, type KubeProxyOptions } from "./kube-proxy.ts";
export { proxyLimits } from "./limits.ts";
export { ServiceProxy } from "./proxy.ts";
export { desiredRules, diffRules, type Rule, type RuleScope, type Target } from "./rules.ts";
