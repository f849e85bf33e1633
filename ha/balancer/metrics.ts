/** What a balancer tells of itself: its status, as metrics. */
import { processMetrics, type Sample } from "../runtime/metrics.ts";
import type { Balancer, MasterReport } from "./balancer.ts";

/** `balancers`: by the face that they serve. */
export function addBalancerMetrics(
  balancers: () => readonly (readonly [string, Balancer])[],
): void {
  const each = (value: (status: ReturnType<Balancer["status"]>) => number) => (): Sample[] =>
    balancers().map(([face, balancer]) => ({
      labels: { face },
      value: value(balancer.status()),
    }));
  const masters = (value: (master: MasterReport) => number) => (): Sample[] =>
    balancers().flatMap(([face, balancer]) =>
      balancer.status().masters.map((master) => ({
        labels: { face, master: master.name },
        value: value(master),
      })),
    );
  const flag = (value: boolean) => (value ? 1 : 0);
  const prefix = "trireme_balancer";
  const gauge = processMetrics.collect.bind(processMetrics, "gauge");
  const counter = processMetrics.collect.bind(processMetrics, "counter");
  counter(
    `${prefix}_calls_total`,
    "Calls that clients have made.",
    each(({ calls }) => calls),
  );
  counter(
    `${prefix}_refusals_total`,
    "Calls that were refused.",
    each(({ refusals }) => refusals),
  );
  counter(
    `${prefix}_retries_total`,
    "Attempts of calls after the first.",
    each(({ retries }) => retries),
  );
  counter(
    `${prefix}_waits_total`,
    "Calls that have had to wait for a master.",
    each(({ waits }) => waits),
  );
  counter(
    `${prefix}_suspicions_total`,
    "Attempts given up because their master did not answer its probe.",
    each(({ suspicions }) => suspicions),
  );
  gauge(
    `${prefix}_connections`,
    "Connections of clients.",
    each((status) => status.connections),
  );
  gauge(
    `${prefix}_calls_active`,
    "Calls under way.",
    each(({ active }) => active),
  );
  gauge(
    `${prefix}_calls_waiting`,
    "Of those, without a master.",
    each(({ waiting }) => waiting),
  );
  gauge(
    `${prefix}_master_healthy`,
    "1: it gets calls.",
    masters((one) => flag(one.healthy)),
  );
  gauge(
    `${prefix}_master_leader`,
    "1: it leads.",
    masters((one) => flag(one.leader)),
  );
  gauge(
    `${prefix}_master_streams`,
    "Streams under way.",
    masters(({ streams }) => streams),
  );
  counter(
    `${prefix}_master_attempts_total`,
    "Calls sent to it.",
    masters((one) => one.attempts),
  );
  counter(
    `${prefix}_master_failures_total`,
    "Calls that it did not answer.",
    masters((one) => one.failures),
  );
}
