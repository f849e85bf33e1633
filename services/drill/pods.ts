/**
 * Pods that run during a drill: which of them were disturbed, though their node was not struck, and
 * whether a container was started twice. Each container writes a line when it starts.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLog } from "../../ha/runtime/production/log.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { connectClient, type TriremeClient } from "../client/mod.ts";
import type { Scene } from "./scene.ts";
import { until, type World } from "./world/world.ts";

const replicas = 6;
const readyMillisMax = 60_000;

export function apiClient({ addresses, tls }: World): TriremeClient {
  const log = createLog({}, { level: "silent" });
  return connectClient({ servers: addresses.api, ...(tls && { tls }), log, identity: "drill" });
}

export class Pods {
  readonly #scene: Scene;
  readonly #client: TriremeClient;
  readonly #name: string;
  readonly #starts: string;
  #before: readonly Pod[] = [];
  #disturbed = 0;

  constructor(scene: Scene, run: string) {
    this.#scene = scene;
    this.#client = apiClient(scene.world);
    this.#name = `drill-pods-${run}`;
    this.#starts = join(scene.scratch, "starts");
  }

  async start(): Promise<void> {
    mkdirSync(this.#scene.scratch, { recursive: true });
    await this.#client.deployments.create(deployment(this.#name, this.#starts));
    await this.#ready();
  }

  async before(): Promise<void> {
    this.#before = await this.#ready();
  }

  /** Counts what has become of the pods that ran before, but for those of struck nodes. */
  async after(): Promise<void> {
    const now = new Map((await this.#ready()).map((pod) => [pod.metadata?.uid, pod]));
    const struck = this.#scene.struckNodes;
    for (const pod of this.#before) {
      if (struck.has(pod.spec?.nodeName ?? "")) continue;
      const same = now.get(pod.metadata?.uid);
      if (same === undefined || restarts(same) > restarts(pod)) this.#disturbed++;
    }
    this.#scene.fact("pods disturbed", this.#disturbed);
    this.#scene.fact("containers started twice", this.#startedTwice(struck));
  }

  async remove(): Promise<void> {
    await this.#client.deployments.delete(this.#name, "default");
    this.#client.close();
  }

  #ready(): Promise<readonly Pod[]> {
    return until(
      `${replicas} ready pods`,
      async () => {
        const labelSelector = `app=${this.#name}`;
        const { items } = await this.#client.pods.list({ namespace: "default", labelSelector });
        const ready = items.filter(isReady);
        return ready.length === replicas && ready;
      },
      readyMillisMax,
      this.#scene.signal,
    );
  }

  /** A line a start: node and pod. The containers of a node that was lost are started anew. */
  #startedTwice(struck: ReadonlySet<string>): number {
    if (!existsSync(this.#starts)) return 0;
    const seen = new Set<string>();
    let twice = 0;
    for (const line of readFileSync(this.#starts, "utf8").trim().split("\n")) {
      const [node = "", uid = ""] = line.split(" ");
      if (struck.has(node)) continue;
      if (seen.has(uid)) twice++;
      seen.add(uid);
    }
    return twice;
  }
}

function restarts({ status }: Pod): number {
  return (status?.containerStatuses ?? []).reduce((sum, each) => sum + (each.restartCount ?? 0), 0);
}

export function isReady({ metadata, status }: Pod): boolean {
  if (metadata?.deletionTimestamp !== undefined) return false;
  return status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
}

function deployment(name: string, starts: string) {
  const labels = { app: name };
  const field = (variable: string, fieldPath: string) => ({
    name: variable,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const container = {
    name: "main",
    image: "sh",
    command: ["sh", "-c"],
    args: [`echo "$NODE $POD" >> "$STARTS"; exec sleep 3600`],
    env: [
      field("NODE", "spec.nodeName"),
      field("POD", "metadata.uid"),
      { name: "STARTS", value: starts },
    ],
  };
  const template = {
    metadata: { labels },
    spec: { containers: [container], terminationGracePeriodSeconds: 1 },
  };
  return {
    metadata: { name, namespace: "default" },
    spec: { replicas, selector: { matchLabels: labels }, template },
  };
}
