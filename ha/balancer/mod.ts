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
export { retryTrailer } from "./reply-fields.ts";
export { attemptHeader, requestIdHeader } from "./request-head.ts";
