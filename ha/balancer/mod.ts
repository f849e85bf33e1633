export {
  type Balancer,
  type BalancerOptions,
  startBalancer,
} from "./balancer.ts";
export type { MasterAddress } from "./fleet.ts";
