/** The application of a chaos run: deployments that change all the time, and one service. */
import type { Random } from "../../ha/runtime/types.ts";
import type { Deployment } from "../../proto/gen/apps.ts";
import type { Service } from "../../proto/gen/core.ts";
import type { TriremeClient } from "../../services/client/mod.ts";
import { until } from "../e2e/cluster.ts";

export const namespace = "default";
/** The first deployment is the one behind the service. */
export const deployments = ["web", "worker-a", "worker-b"] as const;
export const serviceName = "web";

const servicePort = 8080;
const rolloutMillis = 20_000;
const replicasLeast = 2;
const replicasMost = 4;

/** Serves until a moment after SIGTERM, as an application behind a service has to. */
const program = `
const { createServer } = require("node:http");
const server = createServer((request, response) => {
  response.setHeader("connection", "close");
  response.end(process.env.HOSTNAME);
});
server.listen(${servicePort}, process.env.POD_IP);
process.on("SIGTERM", () => setTimeout(() => process.exit(0), 2500));
`;

function deployment(name: string, cluster: string): Deployment {
  const env = [
    { name: "CHAOS_CLUSTER", value: cluster },
    { name: "CHAOS_DEPLOYMENT", value: name },
    { name: "CHAOS_ROUND", value: "0" },
  ];
  const readinessProbe = {
    httpGet: { path: "/", port: servicePort },
    periodSeconds: 1,
    timeoutSeconds: 5,
  };
  const command = ["node", "-e", program];
  return {
    metadata: { name, namespace },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 10n,
          containers: [{ name: "app", image: "node", command, env, readinessProbe }],
        },
      },
    },
  } as unknown as Deployment;
}

function service(): Service {
  return {
    metadata: { name: serviceName, namespace },
    spec: { selector: { app: deployments[0] }, ports: [{ port: 80, targetPort: servicePort }] },
  } as unknown as Service;
}

/** Answers the service's URL once all pods are ready. */
export async function startApplication(client: TriremeClient, cluster: string): Promise<string> {
  for (const name of deployments) await client.deployments.create(deployment(name, cluster));
  const { spec } = await client.services.create(service());
  for (const name of deployments) {
    await until(`deployment ${name}`, async () => isComplete(await get(client, name)), 90_000);
  }
  return `http://${spec?.clusterIP}/`;
}

const get = (client: TriremeClient, name: string) => client.deployments.get(name, namespace);

/** What upstream's `kubectl rollout status` waits for. */
export function isComplete({ metadata, spec, status }: Deployment): boolean {
  const replicas = spec?.replicas ?? 1;
  const counts = [status?.replicas, status?.updatedReplicas, status?.availableReplicas];
  return (
    Number(status?.observedGeneration ?? 0) >= Number(metadata?.generation ?? 0) &&
    counts.every((count) => (count ?? 0) === replicas)
  );
}

/** Changes every deployment's template each 20 s, spread over that time, and its replicas. */
export class Rollouts {
  count = 0;
  readonly errors: string[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(client: TriremeClient, random: Random) {
    this.#running = this.#run(client, random);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(client: TriremeClient, random: Random): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const name = deployments[this.count % deployments.length] ?? deployments[0];
      this.count++;
      const value = String(this.count);
      const replicas = replicasLeast + random.below(replicasMost - replicasLeast + 1);
      // A strategic merge by name: the container's other variables stay.
      const containers = [{ name: "app", env: [{ name: "CHAOS_ROUND", value }] }];
      const patch = { spec: { replicas, template: { spec: { containers } } } };
      try {
        await client.deployments.patch(name, namespace, "strategic", patch);
      } catch (error) {
        // It may have been done; the next round sets the whole of what it changes again.
        this.errors.push(`rollout ${value} of ${name}: ${(error as Error).message}`);
      }
      await pause(rolloutMillis / deployments.length, signal);
    }
  }
}

export function pause(millis: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(resolve, millis);
    const wake = () => {
      clearTimeout(timer);
      resolve();
    };
    signal?.addEventListener("abort", wake, { once: true });
  });
}
