/**
 * What is said of a node to one pod is said to the next that asks for the same: such verdicts are
 * kept until the node changes. A workload's pods come by the hundred, and of the nodes each of them
 * looks at, one or two are not as the pod before has seen them.
 */
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import type { Cycle } from "./cycle.ts";
import type { Plugin, Refusal } from "./types.ts";

export interface Refused {
  readonly plugin: string;
  readonly refusal: Refusal;
}

export type Filter = Plugin & Required<Pick<Plugin, "filter">>;
type Local = Plugin & Required<Pick<Plugin, "alike">>;
type Scorer = Local & Required<Pick<Plugin, "score">>;

/** Sorts of pods whose verdicts are kept, each with a few numbers for every node. */
const sortsMax = 16;

/** The verdicts of one scheduler's plugins. */
export class AlikePods {
  readonly #scorers: readonly Scorer[];
  /** The sort that was not asked for longest comes first. */
  readonly #sorts = new Map<string, Verdicts>();

  constructor(plugins: readonly Plugin[]) {
    this.#scorers = plugins.filter(scoresLocally);
  }

  /** `filters`: those that have something to say to the pod. */
  verdicts(filters: readonly Filter[], pod: PodInfo): Verdicts {
    const local: (Filter & Local)[] = [];
    // The first refusal is the one that is told: a filter after one that is not local is not either.
    for (const filter of filters) {
      if (!isLocal(filter)) break;
      local.push(filter);
    }
    const said = [...local, ...this.#scorers].map(({ name, alike }) => [name, alike(pod)]);
    const sort = JSON.stringify(said);
    const known = this.#sorts.get(sort);
    const verdicts = known ?? new Verdicts(local, this.#scorers);
    this.#sorts.delete(sort);
    this.#sorts.set(sort, verdicts);
    if (this.#sorts.size > sortsMax) {
      const [oldest = ""] = this.#sorts.keys();
      this.#sorts.delete(oldest);
    }
    return verdicts;
  }

  /** Whether the plugin's points are among those of {@link Verdicts.points}. */
  hasPointsOf(plugin: Plugin): boolean {
    return scoresLocally(plugin);
  }
}

/** Of one sort of pods, by the node's place among all nodes. */
export class Verdicts {
  /** So many filters of the pod have been asked; the others have their say yet. */
  readonly filters: number;
  readonly #filters: readonly Filter[];
  readonly #scorers: readonly Scorer[];
  readonly #nodes: NodeInfo[] = [];
  readonly #versions: number[] = [];
  readonly #refusals: (Refused | undefined)[] = [];
  /** NaN: not asked for yet. */
  readonly #points: number[] = [];

  constructor(filters: readonly Filter[], scorers: readonly Scorer[]) {
    this.filters = filters.length;
    this.#filters = filters;
    this.#scorers = scorers;
  }

  refusal(cycle: Cycle, node: NodeInfo, place: number): Refused | undefined {
    this.#look(cycle, node, place);
    return this.#refusals[place];
  }

  /** The weighted sum of what the plugins say that look at this node alone. */
  points(cycle: Cycle, node: NodeInfo, place: number): number {
    this.#look(cycle, node, place);
    const known = this.#points[place] ?? Number.NaN;
    if (!Number.isNaN(known)) return known;
    let sum = 0;
    for (const { name, score } of this.#scorers) {
      const points = score.points(cycle, node);
      checkPoints(name, points);
      sum += score.weight * points;
    }
    this.#points[place] = sum;
    return sum;
  }

  #look(cycle: Cycle, node: NodeInfo, place: number): void {
    if (this.#nodes[place] === node && this.#versions[place] === node.version) return;
    // Places are filled one after the other, for an array with gaps is slow.
    for (let next = this.#nodes.length; next < place; next++) {
      this.#nodes[next] = node;
      this.#versions[next] = Number.NaN;
      this.#refusals[next] = undefined;
      this.#points[next] = Number.NaN;
    }
    this.#nodes[place] = node;
    this.#versions[place] = node.version;
    this.#refusals[place] = firstRefusal(this.#filters, cycle, node);
    this.#points[place] = Number.NaN;
  }
}

export function firstRefusal(
  filters: readonly Filter[],
  cycle: Cycle,
  node: NodeInfo,
): Refused | undefined {
  for (const filter of filters) {
    const refusal = filter.filter(cycle, node);
    if (refusal) return { plugin: filter.name, refusal };
  }
  return undefined;
}

/** Throws RangeError for what is not in 0..100. */
export function checkPoints(plugin: string, points: number): void {
  if (points >= 0 && points <= 100) return;
  throw new RangeError(`plugin ${plugin} gives ${points} points, not 0 to 100`);
}

function isLocal<P extends Plugin>(plugin: P): plugin is P & Local {
  return plugin.alike !== undefined;
}

/** Points that are brought into relation with those of other nodes are not the node's alone. */
function scoresLocally(plugin: Plugin): plugin is Scorer {
  const { score, preScore } = plugin;
  return isLocal(plugin) && score !== undefined && !score.normalize && preScore === undefined;
}
