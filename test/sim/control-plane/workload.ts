/** A user who creates, scales and deletes; and the kubelets of all nodes. */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Deployment, ReplicaSet } from "../../../proto/gen/apps.ts";
import type { Node, Pod } from "../../../proto/gen/core.ts";
import {
  createClient,
  InformerFactory,
  type LoopClock,
  sleep,
  type TriremeClient,
} from "../../../services/client/mod.ts";
import { quietLog } from "../../client/quiet-log.ts";
import { between, type Chance, randomChoice } from "../chance.ts";

type Transport = Parameters<typeof createClient>[0];

const namespace = "default";
const nodesMax = 4;
/**
 * A node has room for three pods, or for the urgent one alone. So all that may be wished for has
 * room in the end, but the urgent pod mostly only once others have gone.
 */
const [nodeCpu, podCpu, urgentCpu] = ["2200m", "600m", "2000m"];
const replicaSetsMax = 2;
const replicasMax = 3;
const deploymentReplicasMax = 2;
const podsMax = 1;
const kubeletMillis = 80;

/** Carries out one wish after the other; what fails is not tried again. */
export class User {
  readonly #client: TriremeClient;
  readonly #clock: LoopClock;
  readonly #chance: Chance;
  readonly #sets: string[] = [];
  #pods = 0;
  #urgent = false;
  #images = 0;
  #deployed = false;
  stopped = false;
  idle = false;

  constructor(transport: Transport, clock: LoopClock, chance: Chance) {
    this.#client = createClient(transport);
    this.#clock = clock;
    this.#chance = chance;
  }

  async run(): Promise<void> {
    for (let number = 0; number < nodesMax; number++) {
      await this.#insist(async () => void (await this.#client.nodes.create(nodeOf(number))));
      await this.#insist(async () => {
        const node = await this.#client.nodes.get(`n${number}`);
        await this.#client.nodes.updateStatus({ ...node, status: nodeOf(number).status });
      });
    }
    while (!this.stopped) {
      await this.#attempt(() => this.#wish());
      await sleep(this.#clock, between(this.#chance, 30, 400));
    }
    this.idle = true;
  }

  #wish(): Promise<unknown> {
    const dice = this.#chance.below(13);
    if (dice === 10 || dice === 11) return this.#deployed ? this.#rollOut() : this.#deploy();
    if (dice === 12 && !this.#urgent) return this.#createUrgent();
    if (this.#sets.length < replicaSetsMax && dice < 4) return this.#createSet();
    if (dice < 6 && this.#pods < podsMax) {
      const name = `bare-${++this.#pods}`;
      return this.#client.pods.create({ metadata: { name, namespace }, ...podTemplate() });
    }
    if (dice < 8 && this.#sets.length > 0) return this.#scale();
    return this.#deletePod();
  }

  async #createSet(): Promise<void> {
    const name = `set-${this.#sets.length}`;
    this.#sets.push(name);
    await this.#client.replicaSets.create(setOf(name, between(this.#chance, 1, replicasMax)));
  }

  async #deploy(): Promise<void> {
    this.#deployed = true;
    const replicas = between(this.#chance, 1, deploymentReplicasMax);
    await this.#client.deployments.create(deploymentOf(replicas));
  }

  /** Another image, now and then another number, perhaps in the midst of the last rollout. */
  async #rollOut(): Promise<void> {
    const deployment = await this.#client.deployments.get("rolled", namespace);
    const { spec = {} } = deployment;
    const [container] = spec.template?.spec?.containers ?? [];
    if (container) container.image = `i:${++this.#images}`;
    if (this.#chance.below(3) === 0) {
      spec.replicas = between(this.#chance, 0, deploymentReplicasMax);
    }
    await this.#client.deployments.update({ ...deployment, spec });
  }

  async #createUrgent(): Promise<void> {
    this.#urgent = true;
    const { spec } = podTemplate(urgentCpu);
    const priority = { priorityClassName: "system-cluster-critical" };
    const metadata = { name: "urgent", namespace };
    await this.#client.pods.create({ metadata, spec: { ...spec, ...priority } });
  }

  async #scale(): Promise<void> {
    const name = randomChoice(this.#chance, this.#sets);
    const set = await this.#client.replicaSets.get(name, namespace);
    const replicas = between(this.#chance, 0, replicasMax);
    await this.#client.replicaSets.update({ ...set, spec: { ...set.spec, replicas } });
  }

  async #deletePod(): Promise<void> {
    const { items } = await this.#client.pods.list({ namespace });
    if (items.length === 0) return;
    const { name = "" } = randomChoice(this.#chance, items).metadata ?? {};
    await this.#client.pods.delete(name, namespace);
  }

  async #insist(run: () => Promise<void>): Promise<void> {
    for (let done = false; !done && !this.stopped; ) {
      done = await this.#attempt(run);
      if (!done) await sleep(this.#clock, 200);
    }
  }

  /** True: done, or done before. A bug of this file is no failed call. */
  async #attempt(run: () => Promise<unknown>): Promise<boolean> {
    try {
      await run();
      return true;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return error.detail?.reason === "AlreadyExists";
    }
  }
}

/** Starts bound pods, and lets deleted ones end. Runs until its process ends. */
export class Kubelets {
  readonly informers: InformerFactory;
  readonly #client: TriremeClient;
  readonly #clock: LoopClock;
  readonly #over: AbortSignal;

  constructor(process: { transport: Transport; clock: LoopClock; over: AbortSignal }) {
    const { transport, clock, over } = process;
    this.#client = createClient(transport);
    this.#clock = clock;
    this.#over = over;
    this.informers = new InformerFactory({ client: this.#client, log: quietLog, clock });
  }

  async run(): Promise<void> {
    const pods = this.informers.informer("Pod");
    this.informers.start(this.#over);
    for (;;) {
      await sleep(this.#clock, kubeletMillis);
      for (const pod of pods.lister.list()) {
        try {
          await this.#sync(pod);
        } catch (error) {
          if (!(error instanceof StatusError)) throw error;
        }
      }
    }
  }

  async #sync(pod: Pod): Promise<void> {
    const { deletionTimestamp, name = "", uid = "" } = pod.metadata ?? {};
    if (!pod.spec?.nodeName) return;
    if (deletionTimestamp !== undefined) {
      const preconditions = { uid };
      await this.#client.pods.delete(name, namespace, { gracePeriodSeconds: 0, preconditions });
    } else if (pod.status?.phase !== "Running") {
      const ready = { type: "Ready", status: "True" };
      const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "Ready");
      const status = { ...pod.status, phase: "Running", conditions: [...others, ready] };
      await this.#client.pods.updateStatus({ ...pod, status });
    }
  }
}

function nodeOf(number: number): Node {
  return {
    metadata: { name: `n${number}` },
    status: {
      allocatable: { cpu: nodeCpu, memory: "8Gi", pods: "20" },
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}

function podTemplate(cpu = podCpu): Pick<Pod, "spec"> {
  const requests = { cpu };
  return { spec: { containers: [{ name: "c", image: "i", resources: { requests } }] } };
}

function deploymentOf(replicas: number): Deployment {
  const labels = { deployment: "rolled" };
  return {
    metadata: { name: "rolled", namespace },
    spec: {
      replicas,
      // Without room for one pod more, it goes on with one fewer.
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
      selector: { matchLabels: labels },
      template: { metadata: { labels }, ...podTemplate() },
    },
  };
}

function setOf(name: string, replicas: number): ReplicaSet {
  const labels = { set: name };
  return {
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, ...podTemplate() },
    },
  };
}
