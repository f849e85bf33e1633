/** What a server serves, as its discovery documents tell. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { DiscoveredResource, ResourceRef } from "../../../proto/gen/dynamic.ts";
import type { RestResource } from "./requests.ts";

interface GroupList {
  readonly groups?: readonly {
    readonly name?: string;
    readonly preferredVersion?: { readonly version?: string };
    readonly versions?: readonly { readonly version?: string }[];
  }[];
}

interface ResourceList {
  readonly resources?: readonly {
    readonly name?: string;
    readonly singularName?: string;
    readonly kind?: string;
    readonly namespaced?: boolean;
    readonly verbs?: string[];
    readonly shortNames?: string[];
    readonly categories?: string[];
  }[];
}

/** Fetches one document. */
type Fetch = (path: string, signal?: AbortSignal) => Promise<unknown>;

/** Group versions that are asked at once. */
const fetchesMax = 8;

export class RestDiscovery {
  readonly #fetch: Fetch;
  /** By group version; asked anew for a resource that is not there. */
  readonly #known = new Map<string, readonly DiscoveredResource[]>();

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** Everything, a group's preferred version first. Rejects if a group cannot be asked. */
  async all(group: string | undefined, signal?: AbortSignal): Promise<DiscoveredResource[]> {
    const versions: string[] = group === undefined || group === "" ? ["v1"] : [];
    if (group !== "") {
      const { groups = [] } = (await this.#fetch("/apis", signal)) as GroupList;
      for (const { name = "", preferredVersion, versions: served = [] } of groups) {
        if (group !== undefined && name !== group) continue;
        const first = preferredVersion?.version ?? "";
        const others = served.map(({ version = "" }) => version).filter((each) => each !== first);
        versions.push(...[first, ...others].map((version) => `${name}/${version}`));
      }
    }
    const found: (readonly DiscoveredResource[])[] = [];
    const queue = [...versions.entries()];
    const work = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        found[next[0]] = await this.#ask(next[1], signal);
      }
    };
    await Promise.all(Array.from({ length: fetchesMax }, work));
    return found.flat();
  }

  /** The resource that a reference names. Rejects with NotFound when it is not served. */
  async find(ref: ResourceRef | undefined, signal?: AbortSignal): Promise<RestResource> {
    const { apiVersion = "", kind, resource } = ref ?? {};
    const matches = (each: DiscoveredResource) =>
      resource !== undefined
        ? [each.plural, each.singular, ...(each.shortNames ?? [])].includes(resource)
        : each.kind === kind;
    const known = this.#known.get(apiVersion)?.find(matches);
    const found = known ?? (await this.#ask(apiVersion, signal)).find(matches);
    if (found !== undefined) {
      const { group = "", version = "", plural = "", namespaced = false } = found;
      return { group, version, plural, namespaced, kind: found.kind ?? "" };
    }
    const text = `the server has no resource "${resource ?? kind ?? ""}" in ${apiVersion}`;
    throw new StatusError(Code.notFound, text, { reason: "NotFound" });
  }

  async #ask(apiVersion: string, signal?: AbortSignal): Promise<readonly DiscoveredResource[]> {
    const path = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const [group = "", version = ""] = apiVersion.includes("/")
      ? apiVersion.split("/")
      : ["", apiVersion];
    const { resources = [] } = (await this.#fetch(path, signal)) as ResourceList;
    const found = resources
      .filter(({ name = "" }) => !name.includes("/"))
      .map(
        ({ name, singularName, ...rest }): DiscoveredResource => ({
          ...{ group, version, plural: name, singular: singularName },
          ...rest,
        }),
      );
    this.#known.set(apiVersion, found);
    return found;
  }
}
