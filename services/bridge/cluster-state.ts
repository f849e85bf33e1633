/** What the bridge shows: the supervisor tells it facts, and it makes a picture and a story of them. */
import { LeaderStory, outageText } from "./leader-story.ts";

export interface MasterFacts {
  readonly name: string;
  /** It answers. */
  readonly up: boolean;
  readonly ready: boolean;
  readonly role: string;
  readonly term: number;
  readonly applied: number;
  readonly commit: number;
  readonly revision: number;
}

export interface NodeFacts {
  readonly name: string;
  readonly ready: boolean;
  /** Conditions that are not as they should be, with their reasons. */
  readonly troubles: readonly string[];
}

export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  /** Undefined: none yet. */
  readonly node: string | undefined;
  /** As `get pods` shows it. */
  readonly status: string;
}

export interface ClusterFacts {
  readonly leader: string | undefined;
  readonly masters: readonly MasterFacts[];
  readonly nodes: readonly NodeFacts[];
  readonly pods: readonly PodFacts[];
}

export interface BridgeEvent {
  /** Unix ms. */
  readonly at: number;
  readonly kind: "election" | "master" | "node" | "outage" | "run";
  readonly text: string;
}

/** How the masters did in one interval. */
export interface Sample {
  readonly at: number;
  /** Latency of the probes, in ms; absent: none was answered. */
  readonly p50?: number;
  readonly p99?: number;
  readonly failed: number;
  readonly writesPerSecond: number;
  /** By master: attempts of the balancers a second. */
  readonly traffic: Readonly<Record<string, number>>;
}

const eventsMax = 200;
const samplesMax = 240;
export const podsMax = 500;

export class ClusterState {
  #facts: ClusterFacts = { leader: undefined, masters: [], nodes: [], pods: [] };
  readonly #now: () => number;
  readonly #events: BridgeEvent[] = [];
  readonly #samples: Sample[] = [];
  readonly #story = new LeaderStory();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get facts(): ClusterFacts {
    return this.#facts;
  }

  get events(): readonly BridgeEvent[] {
    return this.#events;
  }

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  get revision(): number {
    return Math.max(0, ...this.#facts.masters.map(({ revision }) => revision));
  }

  /** A process of the cluster ended: `how` as in "was ended by SIGKILL". */
  ended(name: string, how: string): void {
    this.#story.ended(this.#now(), name, how);
    this.say("master", `${name} ${how}`);
  }

  say(kind: BridgeEvent["kind"], text: string): void {
    this.#events.push({ at: this.#now(), kind, text });
    if (this.#events.length > eventsMax) this.#events.shift();
  }

  add(sample: Sample): void {
    this.#samples.push(sample);
    if (this.#samples.length > samplesMax) this.#samples.shift();
  }

  update(facts: ClusterFacts): void {
    const before = this.#facts;
    this.#facts = { ...facts, pods: facts.pods.slice(0, podsMax) };
    this.#tellOfMasters(before, facts);
    this.#tellOfLeader(facts);
    this.#tellOfNodes(before, facts);
  }

  #tellOfMasters(before: ClusterFacts, { masters }: ClusterFacts): void {
    for (const { name, up } of masters) {
      const earlier = before.masters.find((each) => each.name === name);
      if (earlier === undefined || earlier.up === up) continue;
      this.say("master", up ? `${name} answers again` : `${name} does not answer`);
    }
  }

  #tellOfLeader({ leader, masters }: ClusterFacts): void {
    // A leader that does not answer leads no more, even while others have not noticed.
    const leads = masters.some(({ name, up }) => name === leader && up) ? leader : undefined;
    const term = Math.max(0, ...masters.map((master) => master.term));
    const { election, outage } = this.#story.observe(this.#now(), leads, term);
    if (election !== undefined) this.say("election", election.text);
    if (outage !== undefined) this.say("outage", outageText(outage));
  }

  #tellOfNodes(before: ClusterFacts, { nodes }: ClusterFacts): void {
    for (const { name, ready, troubles } of nodes) {
      const earlier = before.nodes.find((each) => each.name === name);
      if (earlier !== undefined && earlier.ready !== ready) {
        const why = troubles.length === 0 ? "" : ` (${troubles.join(", ")})`;
        this.say("node", ready ? `${name} is ready` : `${name} is not ready${why}`);
      }
      for (const trouble of earlier === undefined ? [] : troubles) {
        const isNew = !earlier?.troubles.includes(trouble) && !trouble.startsWith("Ready");
        if (isNew) this.say("node", `${name}: ${trouble}`);
      }
    }
  }
}
