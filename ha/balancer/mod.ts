export {
  type Balancer,
  type BalancerOptions,
  type BalancerStatus,
  type MasterReport,
  startBalancer,
} from "./balancer.ts";
export type { MasterAddress } from "./fleet.ts";
export { groupHeader, userHeader } from "./identity.ts";
export { type BalancerLimits, balancerLimits } from "./limits.ts";
export { attemptHeader, requestIdHeader } from "./request-head.ts";
export { retryTrailer } from "./unary-call.ts";
