/**
 * Which resources are served: the classic lists and the aggregated documents of
 * apidiscovery.k8s.io. Made anew after every change of the registry.
 */
import { createHash } from "node:crypto";
import { apiVersionOf, type Registry, type Resource } from "../../../kinds/mod.ts";
import { groupsOf, type ServedGroup } from "../../verbs/groups.ts";
import { subresourcesOf } from "../subresources/table.ts";
import { jsonResponse, notFoundResponse, withHeaders } from "./answers.ts";
import { acceptable } from "./negotiate.ts";
import type { PlainPath, PlainRequest } from "./paths.ts";
import type { RestResponse } from "./types.ts";

const aggregatedVersions: readonly string[] = ["v2", "v2beta1"];

export class Discovery {
  readonly #registry: Registry;
  readonly #made = new Map<string, { readonly body: Buffer; readonly etag: string }>();

  constructor(registry: Registry) {
    this.#registry = registry;
    registry.onChange(() => this.#made.clear());
  }

  /** The handler of a path of discovery; undefined for other paths. */
  at(path: string): PlainPath | undefined {
    const [prefix, group, version, ...more] = path.split("/").filter((part) => part !== "");
    if (more.length > 0) return undefined;
    if (prefix === "api" && version === undefined) {
      if (group === undefined) return (request) => this.#root(request, "/api");
      return () => this.#resources(group);
    }
    if (prefix !== "apis") return undefined;
    if (group === undefined) return (request) => this.#root(request, "/apis");
    if (version === undefined) return () => this.#group(group);
    return () => this.#resources(`${group}/${version}`);
  }

  /** `/api`, `/apis/apps`, `/apis/apps/v1` and so on. */
  get paths(): string[] {
    const groups = groupsOf(this.#registry);
    const paths = groups.flatMap(({ name, versions }) => {
      if (name === "") return versions.map((version) => `/api/${version}`);
      return [`/apis/${name}`, ...versions.map((version) => `/apis/${name}/${version}`)];
    });
    return ["/api", "/apis", ...paths];
  }

  #root({ headers }: PlainRequest, path: "/api" | "/apis"): RestResponse {
    for (const { form } of acceptable(headers("accept").join(",") || undefined)) {
      if (form.kind === "") return path === "/api" ? this.#versions() : this.#groupList();
      const { group, version, kind } = form;
      if (group !== "apidiscovery.k8s.io" || kind !== "APIGroupDiscoveryList") continue;
      if (aggregatedVersions.includes(version)) {
        return this.#aggregated(path, version, headers("if-none-match"));
      }
    }
    return path === "/api" ? this.#versions() : this.#groupList();
  }

  #aggregated(path: "/api" | "/apis", version: string, known: readonly string[]): RestResponse {
    const key = `${path} ${version}`;
    let made = this.#made.get(key);
    if (made === undefined) {
      const groups = groupsOf(this.#registry).filter(
        ({ name }) => (path === "/api") === (name === ""),
      );
      const document = {
        kind: "APIGroupDiscoveryList",
        apiVersion: `apidiscovery.k8s.io/${version}`,
        metadata: {},
        items: groups.map((group) => this.#groupDiscovery(group)),
      };
      const body = Buffer.from(JSON.stringify(document));
      made = { body, etag: `"${createHash("sha256").update(body).digest("hex").toUpperCase()}"` };
      this.#made.set(key, made);
    }
    const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
    const headers = [
      ["content-type", type],
      ["etag", made.etag],
      ["vary", "Accept"],
    ] as const;
    if (known.includes(made.etag)) return { status: 304, headers, body: Buffer.alloc(0) };
    return { status: 200, headers, body: made.body };
  }

  #groupDiscovery({ name, versions }: ServedGroup) {
    return {
      metadata: { ...(name !== "" && { name }), creationTimestamp: null },
      versions: versions.map((version) => ({
        version,
        resources: this.#of(name, version).map(resourceDiscovery),
        freshness: "Current",
      })),
    };
  }

  #of(group: string, version: string): Resource[] {
    return [...this.#registry]
      .filter((each) => each.group === group && each.version === version)
      .sort((one, other) => (one.plural < other.plural ? -1 : 1));
  }

  #versions(): RestResponse {
    const core = groupsOf(this.#registry).find(({ name }) => name === "");
    return withVary(
      jsonResponse({
        kind: "APIVersions",
        versions: core?.versions ?? [],
        serverAddressByClientCIDRs: [],
      }),
    );
  }

  #groupList(): RestResponse {
    const groups = groupsOf(this.#registry)
      .filter(({ name }) => name !== "")
      .map(groupDocument);
    return withVary(jsonResponse({ kind: "APIGroupList", apiVersion: "v1", groups }));
  }

  #group(name: string): RestResponse {
    const group = groupsOf(this.#registry).find((each) => each.name === name);
    if (group === undefined || name === "") return notFoundResponse();
    return jsonResponse({ kind: "APIGroup", apiVersion: "v1", ...groupDocument(group) });
  }

  #resources(groupVersion: string): RestResponse {
    const all = [...this.#registry].filter((each) => apiVersionOf(each) === groupVersion);
    if (all.length === 0) return notFoundResponse();
    all.sort((one, other) => (one.plural < other.plural ? -1 : 1));
    return jsonResponse({
      kind: "APIResourceList",
      ...(groupVersion.includes("/") && { apiVersion: "v1" }),
      groupVersion,
      resources: all.flatMap(resourceDocuments),
    });
  }
}

function withVary(response: RestResponse): RestResponse {
  return withHeaders(response, [["vary", "Accept"]]);
}

function groupDocument({ name, versions, preferred }: ServedGroup) {
  const named = (version: string) => ({ groupVersion: `${name}/${version}`, version });
  return { name, versions: versions.map(named), preferredVersion: named(preferred) };
}

/** The resource itself, and each of its subresources, as classic discovery lists them. */
function resourceDocuments(resource: Resource): object[] {
  const { plural, singular, namespaced, kind, shortNames, categories } = resource;
  const subresources = subresourcesOf(resource).map((row) => ({
    name: `${plural}/${row.name}`,
    singularName: "",
    namespaced,
    ...(row.kind !== undefined &&
      row.kind.group !== "" && { group: row.kind.group, version: row.kind.version }),
    kind: row.kind?.kind ?? kind,
    verbs: Object.keys(row.verbs).sort(),
  }));
  const own = {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs: verbsOf(resource),
    ...(shortNames.length > 0 && { shortNames }),
    ...(categories.length > 0 && { categories }),
  };
  return [own, ...subresources];
}

function resourceDiscovery(resource: Resource): object {
  const { plural, singular, namespaced, group, version, kind, shortNames, categories } = resource;
  const subresources = subresourcesOf(resource).map((row) => ({
    subresource: row.name,
    responseKind: row.kind ?? { group, version, kind },
    verbs: Object.keys(row.verbs).sort(),
  }));
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: singular,
    verbs: verbsOf(resource),
    ...(shortNames.length > 0 && { shortNames }),
    ...(categories.length > 0 && { categories }),
    ...(subresources.length > 0 && { subresources }),
  };
}

function verbsOf(resource: Resource): string[] {
  return [...resource.verbs].sort();
}
