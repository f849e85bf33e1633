/** `apply`, `get`, `delete`: objects, as kubectl words them. */
import { stringify } from "yaml";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { DiscoveredResource } from "../../../proto/gen/dynamic.ts";
import type { JsonObject, TriremeClient } from "../../client/mod.ts";
import { ageColumn, builtInRegistry, type Column, nameColumn } from "../../kinds/mod.ts";
import { lastAppliedAnnotation, threeWayPatch } from "../apply-patch.ts";
import { readManifests } from "../manifests.ts";
import { complain, errorText, print, table } from "../output.ts";

const registry = builtInRegistry();

export interface ScopeFlags {
  readonly namespace: string;
  readonly allNamespaces?: boolean;
}

/** Finds a resource by plural, singular, short name or kind, as people type it. */
async function resolve(client: TriremeClient, word: string): Promise<DiscoveredResource> {
  const [name, group] = splitOnce(word.toLowerCase(), ".");
  const resources = await client.dynamic.discover();
  const found = resources.find(
    (resource) =>
      (group === undefined || resource.group === group) &&
      (resource.plural === name ||
        resource.singular === name ||
        resource.kind?.toLowerCase() === name ||
        resource.shortNames?.includes(name)),
  );
  if (found) return found;
  const served = resources.flatMap(({ plural }) => plural ?? []).sort();
  throw new StatusError(
    Code.notFound,
    `the server doesn't have a resource type "${word}"; it has ${served.join(", ")}`,
  );
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function refOf(resource: DiscoveredResource) {
  return { apiVersion: apiVersionOf(resource), kind: resource.kind ?? "" };
}

function apiVersionOf(resource: DiscoveredResource): string {
  return resource.group ? `${resource.group}/${resource.version}` : (resource.version ?? "");
}

/** `deployment.apps/web`, `pod/web-1`. */
function titleOf(resource: DiscoveredResource, name: string): string {
  const group = resource.group ? `.${resource.group}` : "";
  return `${resource.singular}${group}/${name}`;
}

export async function apply(
  client: TriremeClient,
  files: readonly string[],
  flags: ScopeFlags,
): Promise<void> {
  const manifests = readManifests(files);
  const resources = await client.dynamic.discover();
  let failed = 0;
  for (const { file, object } of manifests) {
    try {
      const resource = resources.find(
        (r) => apiVersionOf(r) === object.apiVersion && r.kind === object.kind,
      );
      if (!resource) {
        throw new StatusError(
          Code.notFound,
          `${file}: no matches for kind "${object.kind}" in version "${object.apiVersion}"`,
        );
      }
      print(
        `${titleOf(resource, object.metadata?.name ?? "")} ${await applyOne(client, resource, object, flags)}`,
      );
    } catch (error) {
      failed++;
      complain(errorText(error));
    }
  }
  // One bad object does not keep the others from being applied, but the command has failed.
  if (failed > 0) process.exitCode = 1;
}

async function applyOne(
  client: TriremeClient,
  resource: DiscoveredResource,
  manifest: JsonObject,
  flags: ScopeFlags,
): Promise<"created" | "configured" | "unchanged"> {
  const name = manifest.metadata?.name;
  if (!name)
    throw new StatusError(Code.invalidArgument, `${manifest.kind}: metadata.name: Required value`);
  const namespace = resource.namespaced
    ? (manifest.metadata?.namespace ?? flags.namespace)
    : undefined;
  const annotations = { ...manifest.metadata?.annotations };
  delete annotations[lastAppliedAnnotation];
  const next: JsonObject = {
    ...manifest,
    metadata: { ...manifest.metadata, ...(namespace && { namespace }), annotations },
  };
  annotations[lastAppliedAnnotation] = `${JSON.stringify(next)}\n`;
  const live = await client.dynamic
    .get(refOf(resource), name, namespace)
    .catch((error: unknown) => {
      if (StatusError.from(error).code === Code.notFound) return undefined;
      throw error;
    });
  if (!live) {
    await client.dynamic.create(next, { onWarning });
    return "created";
  }
  const previous: unknown = parseOr(live.metadata?.annotations?.[lastAppliedAnnotation]);
  const { apiVersion = "", kind = "" } = manifest;
  const message = registry.byKind(apiVersion, kind)?.schema.message;
  const patch = threeWayPatch(message, previous, next, live);
  if (!patch) return "unchanged";
  const { resourceVersion } = live.metadata ?? {};
  const ref = refOf(resource);
  const options = { onWarning };
  const patched = await client.dynamic.patch(ref, name, namespace, "strategic", patch, options);
  return patched.metadata?.resourceVersion === resourceVersion ? "unchanged" : "configured";
}

/** As kubectl shows the warnings of an apiserver. */
function onWarning(text: string): void {
  complain(`Warning: ${text}`);
}

/** A damaged annotation counts as none: nothing is removed because of it. */
function parseOr(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface GetFlags extends ScopeFlags {
  readonly output?: string;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly watch?: boolean;
}

export async function get(
  client: TriremeClient,
  word: string,
  names: readonly string[],
  flags: GetFlags,
): Promise<void> {
  const formats = ["wide", "yaml", "json", "name"];
  if (flags.output !== undefined && !formats.includes(flags.output)) {
    throw new StatusError(
      Code.invalidArgument,
      `--output ${flags.output}: must be one of ${formats.join(", ")}`,
    );
  }
  const [typed, named] = splitOnce(word, "/");
  const wanted = named === undefined ? names : [named, ...names];
  const category = await categoryOf(client, typed);
  if (category.length > 0) {
    await getCategory(client, typed, category, wanted, flags);
    return;
  }
  const resource = await resolve(client, typed);
  const options = optionsOf(resource, flags);
  const { namespace } = options;
  let version = "";
  let objects: JsonObject[] = [];
  if (wanted.length > 0) {
    for (const name of wanted)
      objects.push(await client.dynamic.get(refOf(resource), name, namespace));
  } else {
    const list = await client.dynamic.list(refOf(resource), options);
    version = list.resourceVersion;
    objects = [...list.items];
  }
  show(resource, objects, flags, wanted.length === 1, true);
  if (!flags.watch) return;
  for await (const event of client.dynamic.watch(refOf(resource), {
    ...options,
    resourceVersion: version,
  })) {
    if (wanted.length > 0 && !wanted.includes(event.object.metadata?.name ?? "")) continue;
    if (event.type !== "BOOKMARK") show(resource, [event.object], flags, true, false);
  }
}

function optionsOf(resource: DiscoveredResource, flags: GetFlags) {
  const namespace = resource.namespaced && !flags.allNamespaces ? flags.namespace : undefined;
  return {
    ...(namespace && { namespace }),
    ...(flags.selector && { labelSelector: flags.selector }),
    ...(flags.fieldSelector && { fieldSelector: flags.fieldSelector }),
  };
}

/** The resources that a word such as `all` stands for. */
async function categoryOf(client: TriremeClient, word: string): Promise<DiscoveredResource[]> {
  const resources = await client.dynamic.discover();
  const named = resources.filter(({ categories }) => categories?.includes(word.toLowerCase()));
  // Of several versions, the first one is preferred.
  const id = ({ group, plural }: DiscoveredResource) => `${plural}.${group}`;
  return named.filter((one) => named.find((each) => id(each) === id(one)) === one);
}

/** A table for each resource that has objects, their names with the resource's. */
async function getCategory(
  client: TriremeClient,
  word: string,
  resources: readonly DiscoveredResource[],
  names: readonly string[],
  flags: GetFlags,
): Promise<void> {
  if (names.length > 0 || flags.watch) {
    const what = names.length > 0 ? "name" : "--watch";
    throw new StatusError(
      Code.invalidArgument,
      `"${word}" is several resources: it takes no ${what}`,
    );
  }
  const lists = await Promise.all(
    resources.map(async (resource) => {
      const list = await client.dynamic.list(refOf(resource), optionsOf(resource, flags));
      return { resource, items: list.items };
    }),
  );
  const filled = lists.filter(({ items }) => items.length > 0);
  if (flags.output === "json" || flags.output === "yaml") {
    const list = { apiVersion: "v1", kind: "List", items: filled.flatMap(({ items }) => items) };
    print(flags.output === "json" ? JSON.stringify(list, null, 2) : stringify(list).trimEnd());
    return;
  }
  if (filled.length === 0) {
    const where = flags.allNamespaces ? "." : ` in ${flags.namespace} namespace.`;
    complain(`No resources found${where}`);
  }
  filled.forEach(({ resource, items }, index) => {
    if (index > 0 && flags.output !== "name") print("");
    const titled = items.map((item) => ({
      ...item,
      metadata: { ...item.metadata, name: titleOf(resource, item.metadata?.name ?? "") },
    }));
    show(resource, flags.output === "name" ? items : titled, flags, false, true);
  });
}

function show(
  resource: DiscoveredResource,
  objects: readonly JsonObject[],
  flags: GetFlags,
  single: boolean,
  header: boolean,
): void {
  const list = { apiVersion: "v1", kind: "List", items: objects };
  if (flags.output === "json") print(JSON.stringify(single ? objects[0] : list, null, 2));
  else if (flags.output === "yaml") print(stringify(single ? objects[0] : list).trimEnd());
  else if (flags.output === "name")
    for (const o of objects) print(titleOf(resource, o.metadata?.name ?? ""));
  else if (objects.length > 0) print(table(rowsOf(resource, objects, flags, header)));
  else
    complain(
      `No resources found${resource.namespaced && !flags.allNamespaces ? ` in ${flags.namespace} namespace.` : "."}`,
    );
}

function rowsOf(
  resource: DiscoveredResource,
  objects: readonly JsonObject[],
  flags: GetFlags,
  header: boolean,
): string[][] {
  const kind = registry.byKind(apiVersionOf(resource), resource.kind ?? "");
  const plain: readonly Column[] = [nameColumn, ageColumn];
  const columns = (kind?.columns ?? plain).filter(
    (column) => flags.output === "wide" || !column.wide,
  );
  const withNamespace = resource.namespaced && flags.allNamespaces;
  const now = Date.now();
  const rows = objects.map((object) => [
    ...(withNamespace ? [object.metadata?.namespace ?? ""] : []),
    ...columns.map((column) => String(column.value(object, now) ?? "<none>")),
  ]);
  if (!header) return rows;
  return [
    [...(withNamespace ? ["NAMESPACE"] : []), ...columns.map((c) => c.name.toUpperCase())],
    ...rows,
  ];
}

export interface DeleteFlags extends ScopeFlags {
  readonly filename?: readonly string[];
  readonly gracePeriod?: number;
  readonly selector?: string;
  readonly wait: boolean;
  readonly ignoreNotFound?: boolean;
}

export async function remove(
  client: TriremeClient,
  words: readonly string[],
  flags: DeleteFlags,
): Promise<void> {
  const targets = await targetsOf(client, words, flags);
  let failed = false;
  for (const { resource, name, namespace } of targets) {
    try {
      await client.dynamic.delete(refOf(resource), name, namespace, {
        propagationPolicy: "Background",
        ...(flags.gracePeriod !== undefined && { gracePeriodSeconds: flags.gracePeriod }),
      });
      print(`${titleOf(resource, name).replace("/", ' "')}" deleted`);
    } catch (thrown) {
      if (flags.ignoreNotFound && StatusError.from(thrown).code === Code.notFound) continue;
      failed = true;
      complain(errorText(thrown));
    }
  }
  if (flags.wait) for (const target of targets) await untilGone(client, target);
  if (failed) process.exitCode = 1;
}

interface Target {
  readonly resource: DiscoveredResource;
  readonly name: string;
  readonly namespace: string | undefined;
}

async function targetsOf(
  client: TriremeClient,
  words: readonly string[],
  flags: DeleteFlags,
): Promise<Target[]> {
  if (flags.filename?.length) {
    const resources = await client.dynamic.discover();
    return readManifests(flags.filename).map(({ file, object }) => {
      const resource = resources.find(
        (r) => apiVersionOf(r) === object.apiVersion && r.kind === object.kind,
      );
      if (!resource) {
        const what = `no matches for kind "${object.kind}" in version "${object.apiVersion}"`;
        throw new StatusError(Code.notFound, `${file}: ${what}`);
      }
      const namespace = resource.namespaced
        ? (object.metadata?.namespace ?? flags.namespace)
        : undefined;
      return { resource, name: object.metadata?.name ?? "", namespace };
    });
  }
  const [word, ...names] = words;
  if (word === undefined) {
    throw new StatusError(Code.invalidArgument, "name a resource and its name, or a file with -f");
  }
  const [typed, named] = splitOnce(word, "/");
  const resource = await resolve(client, typed);
  const namespace = resource.namespaced ? flags.namespace : undefined;
  const all = named === undefined ? names : [named, ...names];
  if (all.length > 0) return all.map((name) => ({ resource, name, namespace }));
  if (flags.selector === undefined) {
    throw new StatusError(
      Code.invalidArgument,
      `name the ${resource.plural} to delete, or a --selector`,
    );
  }
  const list = await client.dynamic.list(refOf(resource), {
    ...(namespace && { namespace }),
    labelSelector: flags.selector,
  });
  return list.items.map((object) => ({ resource, name: object.metadata?.name ?? "", namespace }));
}

const deletionMillisMax = 60_000;

async function untilGone(client: TriremeClient, target: Target): Promise<void> {
  const ref = refOf(target.resource);
  const signal = AbortSignal.timeout(deletionMillisMax);
  while (!signal.aborted) {
    try {
      await client.dynamic.get(ref, target.name, target.namespace);
    } catch (thrown) {
      if (StatusError.from(thrown).code === Code.notFound) return;
      throw thrown;
    }
    await new Promise((resolveWait) => setTimeout(resolveWait, 100));
  }
  throw new StatusError(
    Code.deadlineExceeded,
    `${titleOf(target.resource, target.name)} is still there after ${deletionMillisMax / 1000} s`,
  );
}
