export {
  type Balancer,
  type BalancerOptions,
  startBalancer,
} from "./balancer.ts";
export type { MasterAddress } from "./master.ts";
