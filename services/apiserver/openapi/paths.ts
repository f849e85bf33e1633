/** OpenAPI path items of a resource: what may be asked of it, and with which parameters. */
import { apiVersionOf, type Resource } from "../../kinds/mod.ts";
import type { SchemaObject } from "./schemas.ts";

type Operation = SchemaObject;
type PathItem = Readonly<Record<string, unknown>>;

/** References to the schemas that the operations of a resource name. */
export interface ResourceSchemas {
  readonly object: SchemaObject;
  readonly list: SchemaObject;
  readonly status: SchemaObject;
  readonly scale: SchemaObject;
}

interface Subject {
  readonly resource: Resource;
  readonly schemas: ResourceSchemas;
}

/** The path items of a resource by their paths. */
export function pathsOf(resource: Resource, schemas: ResourceSchemas): Record<string, PathItem> {
  const subject = { resource, schemas };
  const { plural, namespaced, verbs } = resource;
  const root = `/${resource.group === "" ? "api" : "apis"}/${apiVersionOf(resource)}`;
  const collection = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`;
  const item = `${collection}/{name}`;
  const place = namespaced ? [namespaceParameter] : [];
  const named = [nameParameter(resource), ...place];
  const paths: Record<string, PathItem> = {};
  const set = (path: string, operations: PathItem, parameters: readonly SchemaObject[]) => {
    if (Object.keys(operations).length === 0) return;
    paths[path] = { ...operations, parameters: [...parameters, prettyParameter] };
  };
  set(collection, collectionOperations(subject), place);
  set(item, itemOperations(subject), named);
  if (namespaced && verbs.includes("list")) {
    const get = listOperation(subject, "ForAllNamespaces");
    set(`${root}/${plural}`, { get }, []);
  }
  if (resource.subresources.status) {
    set(`${item}/status`, partOperations(subject, "Status", schemas.object), named);
  }
  if (resource.subresources.scale !== undefined) {
    set(`${item}/scale`, partOperations(subject, "Scale", schemas.scale), named);
  }
  return paths;
}

function collectionOperations(subject: Subject): PathItem {
  const { resource, schemas } = subject;
  const has = (verb: string) => resource.verbs.includes(verb);
  return {
    ...(has("list") && { get: listOperation(subject, "") }),
    ...(has("create") && {
      post: operation(subject, "post", "create", "", {
        description: `create ${article(resource.kind)}`,
        parameters: writeParameters,
        body: schemas.object,
        answers: { 200: schemas.object, 201: schemas.object, 202: schemas.object },
      }),
    }),
    ...(has("deletecollection") && {
      delete: operation(subject, "deletecollection", "delete", "Collection", {
        description: `delete collection of ${resource.kind}`,
        parameters: [...listParameters, ...deleteParameters],
        answers: { 200: schemas.status },
      }),
    }),
  };
}

function listOperation(subject: Subject, suffix: string): Operation {
  return operation(subject, "list", "list", suffix, {
    description: `list or watch objects of kind ${subject.resource.kind}`,
    parameters: listParameters,
    answers: { 200: subject.schemas.list },
    streamed: true,
  });
}

function itemOperations(subject: Subject): PathItem {
  const { resource, schemas } = subject;
  const has = (verb: string) => resource.verbs.includes(verb);
  const what = resource.kind;
  return {
    ...(has("get") && {
      get: operation(subject, "get", "read", "", {
        description: `read the specified ${what}`,
        answers: { 200: schemas.object },
      }),
    }),
    ...(has("update") && {
      put: operation(subject, "put", "replace", "", {
        description: `replace the specified ${what}`,
        parameters: writeParameters,
        body: schemas.object,
        answers: { 200: schemas.object, 201: schemas.object },
      }),
    }),
    ...(has("patch") && { patch: patchOperation(subject, "", schemas.object) }),
    ...(has("delete") && {
      delete: operation(subject, "delete", "delete", "", {
        description: `delete ${article(what)}`,
        parameters: deleteParameters,
        answers: { 200: schemas.status, 202: schemas.status },
      }),
    }),
  };
}

/** A subresource that is read and written. */
function partOperations(subject: Subject, part: string, schema: SchemaObject): PathItem {
  const what = `${part.toLowerCase()} of the specified ${subject.resource.kind}`;
  return {
    get: operation(subject, "get", "read", part, {
      description: `read ${what}`,
      answers: { 200: schema },
    }),
    put: operation(subject, "put", "replace", part, {
      description: `replace ${what}`,
      parameters: writeParameters,
      body: schema,
      answers: { 200: schema, 201: schema },
    }),
    patch: patchOperation(subject, part, schema),
  };
}

function patchOperation(subject: Subject, part: string, schema: SchemaObject): Operation {
  const { kind } = subject.resource;
  const whole = part === "" ? "" : `${part.toLowerCase()} of `;
  return operation(subject, "patch", "patch", part, {
    description: `partially update ${whole}the specified ${kind}`,
    parameters: [...writeParameters, forceParameter],
    patch: true,
    answers: { 200: schema, 201: schema },
  });
}

interface OperationText {
  readonly description: string;
  readonly parameters?: readonly SchemaObject[];
  readonly body?: SchemaObject;
  readonly patch?: true;
  readonly streamed?: true;
  readonly answers: Readonly<Record<number, SchemaObject>>;
}

/** `action`: as `x-kubernetes-action` has it; `verb` and `suffix` make the operation's id. */
function operation(
  { resource }: Subject,
  action: string,
  verb: string,
  suffix: string,
  text: OperationText,
): Operation {
  const { group, version, kind, namespaced } = resource;
  const answers = Object.entries(text.answers).map(([code, schema]) => [
    code,
    {
      description: descriptionsOfCodes[code] ?? "OK",
      content: contentOf(schema, text.streamed ? streamTypes : answerTypes),
    },
  ]);
  const scope = namespaced && suffix !== "ForAllNamespaces" ? "Namespaced" : "";
  const subject =
    suffix === "Collection" ? `Collection${scope}${kind}` : `${scope}${kind}${suffix}`;
  // Clients look here whether they may send strategic merge patches: they need a message's keys.
  const patches = resource.schema.message === undefined ? plainPatchBody : patchBody;
  const body = text.patch ? patches : text.body && contentOf(text.body, ["*/*"]);
  return {
    tags: [tagOf(resource)],
    description: text.description,
    operationId: `${verb}${capital(tagOf(resource))}${subject}`,
    ...(text.parameters !== undefined && { parameters: text.parameters }),
    ...(body !== undefined && { requestBody: { content: body, required: true } }),
    responses: {
      ...Object.fromEntries(answers),
      401: { description: "Unauthorized" },
    },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group, kind, version },
  };
}

/** E.g. `apps_v1`; the core group is `core_v1`. */
function tagOf({ group, version }: Resource): string {
  const short = group === "" ? "core" : group.replace(/\.k8s\.io$/, "").replace(/[.-]/g, "_");
  return `${short}_${version}`;
}

function capital(text: string): string {
  return text
    .split("_")
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join("");
}

function article(kind: string): string {
  return /^[AEIOU]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}

const descriptionsOfCodes: Readonly<Record<string, string>> = { 201: "Created", 202: "Accepted" };
const answerTypes = ["application/json", "application/yaml"];
const streamTypes = [...answerTypes, "application/json;stream=watch"];

function contentOf(schema: SchemaObject, types: readonly string[]): SchemaObject {
  return Object.fromEntries(types.map((type) => [type, { schema }]));
}

const plainPatches: readonly string[] = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
];
const plainPatchBody = contentOf({ type: "object" }, plainPatches);
const patchBody = contentOf({ type: "object" }, [
  ...plainPatches,
  "application/strategic-merge-patch+json",
]);

function query(name: string, type: string, description: string): SchemaObject {
  return { name, in: "query", description, schema: { type, uniqueItems: true } };
}

const prettyParameter = query("pretty", "string", "If 'true', then the output is pretty printed.");

const namespaceParameter: SchemaObject = {
  name: "namespace",
  in: "path",
  description: "object name and auth scope, such as for teams and projects",
  required: true,
  schema: { type: "string", uniqueItems: true },
};

function nameParameter({ kind }: Resource): SchemaObject {
  const description = `name of the ${kind}`;
  return { ...namespaceParameter, name: "name", description };
}

const writeParameters: readonly SchemaObject[] = [
  query("dryRun", "string", "`All`: everything is checked and nothing is stored."),
  query("fieldManager", "string", "Who makes this change, for the ownership of fields."),
  query(
    "fieldValidation",
    "string",
    "What becomes of unknown and duplicate fields: Ignore, Warn (the default) or Strict.",
  ),
];

const forceParameter = query(
  "force",
  "boolean",
  "Apply patches only: take over the fields that other managers own.",
);

const deleteParameters: readonly SchemaObject[] = [
  query("dryRun", "string", "`All`: everything is checked and nothing is stored."),
  query("gracePeriodSeconds", "integer", "Seconds before the object is deleted; 0: at once."),
  query("propagationPolicy", "string", "Orphan, Background or Foreground: for its dependents."),
  query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
];

const listParameters: readonly SchemaObject[] = [
  query("allowWatchBookmarks", "boolean", "Whether a watch may be sent bookmarks."),
  query("continue", "string", "Where the next page begins, from the page before."),
  query("fieldSelector", "string", "Selects objects by their fields."),
  query("labelSelector", "string", "Selects objects by their labels."),
  query("limit", "integer", "How many objects a page has at most."),
  query("resourceVersion", "string", "How new the answer has to be."),
  query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
  query("sendInitialEvents", "boolean", "A watch begins with the objects that exist."),
  query("timeoutSeconds", "integer", "Seconds after which a list or watch ends."),
  query("watch", "boolean", "Tells of changes as they happen, in place of a list."),
];
