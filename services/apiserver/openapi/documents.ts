/**
 * What `/openapi/v3` and `/openapi/v2` answer. Documents are made when they are first asked for,
 * and again after the resources of their group and version have changed.
 */
import { createHash } from "node:crypto";
import { followedRelease, listKindOf, type Registry, type Resource } from "../../kinds/mod.ts";
import { documentPath, nameOfCustom } from "./names.ts";
import { pathsOf, type ResourceSchemas } from "./paths.ts";
import { refTo, refToName, type SchemaObject, schemasOf } from "./schemas.ts";
import { swaggerOf } from "./swagger.ts";
import { swaggerMessage } from "./swagger-message.ts";

/** Bytes to be served, and the entity tag that names this very content. */
export interface ServedDocument {
  readonly bytes: Buffer;
  /** Upper-case hexadecimal, without quotes. */
  readonly hash: string;
}

export interface OpenApiDocument {
  readonly openapi: "3.0.0";
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, unknown>>;
  readonly components: { readonly schemas: Readonly<Record<string, SchemaObject>> };
}

const { major, minor, patch } = followedRelease;
const info = { title: "Kubernetes", version: `v${major}.${minor}.${patch}` };
const statusMessage = "trireme.meta.v1.Status";
const metaMessage = "trireme.meta.v1.ObjectMeta";
const listMetaMessage = "trireme.meta.v1.ListMeta";
const scaleMessage = "trireme.autoscaling.v1.Scale";

export class OpenApi {
  readonly #registry: Registry;
  readonly #served = new Map<string, ServedDocument>();
  readonly #forgetRegistry: () => void;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#forgetRegistry = registry.onChange(({ resource }) => {
      this.#served.delete(documentPath(resource));
      for (const name of [indexName, swaggerName, messageName]) this.#served.delete(name);
    });
  }

  close(): void {
    this.#forgetRegistry();
  }

  /** `/openapi/v3`: where the document of each group and version is. */
  index(): ServedDocument {
    return this.#once(indexName, () => {
      const paths = [...this.#byPath().keys()].map((path) => {
        const hash = this.document(path)?.hash ?? "";
        return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
      });
      return Buffer.from(JSON.stringify({ paths: Object.fromEntries(paths) }));
    });
  }

  /** `/openapi/v3/<path>`, e.g. `apis/apps/v1`. Undefined: nothing of that group and version. */
  document(path: string): ServedDocument | undefined {
    const resources = this.#byPath().get(path);
    if (resources === undefined) return undefined;
    return this.#once(path, () => Buffer.from(JSON.stringify(documentOf(resources))));
  }

  /** `/openapi/v2` as JSON. */
  swagger(): ServedDocument {
    return this.#once(swaggerName, () => Buffer.from(JSON.stringify(this.#swagger())));
  }

  /** `/openapi/v2` as the protobuf message that client-go asks for. */
  swaggerMessage(): ServedDocument {
    return this.#once(messageName, () => Buffer.from(swaggerMessage(this.#swagger())));
  }

  #swagger() {
    return swaggerOf(documentOf([...this.#registry]));
  }

  #byPath(): Map<string, Resource[]> {
    const found = new Map<string, Resource[]>();
    for (const resource of this.#registry) {
      const path = documentPath(resource);
      const resources = found.get(path);
      if (resources === undefined) found.set(path, [resource]);
      else resources.push(resource);
    }
    return found;
  }

  #once(name: string, make: () => Buffer): ServedDocument {
    const known = this.#served.get(name);
    if (known !== undefined) return known;
    const bytes = make();
    const hash = createHash("sha256").update(bytes).digest("hex").toUpperCase();
    const made = { bytes, hash };
    this.#served.set(name, made);
    return made;
  }
}

/** Names under which other things than the document of a group and version are kept. */
const indexName = "";
const swaggerName = "v2";
const messageName = "v2 message";

function documentOf(resources: readonly Resource[]): OpenApiDocument {
  const messages = new Set<string>([statusMessage]);
  const custom: Record<string, SchemaObject> = {};
  const paths: Record<string, unknown> = {};
  for (const resource of resources) {
    const { schema, subresources } = resource;
    if (subresources.scale !== undefined) messages.add(scaleMessage);
    if (schema.message === undefined) {
      messages.add(metaMessage).add(listMetaMessage);
      Object.assign(custom, customSchemas(resource));
    } else {
      messages.add(schema.message);
      if (resource.verbs.includes("list")) messages.add(`${schema.message}List`);
    }
    Object.assign(paths, pathsOf(resource, refsOf(resource)));
  }
  const schemas = { ...schemasOf(messages), ...custom };
  return { openapi: "3.0.0", info, paths, components: { schemas } };
}

function refsOf(resource: Resource): ResourceSchemas {
  const { message } = resource.schema;
  const common = { status: refTo(statusMessage), scale: refTo(scaleMessage) };
  if (message !== undefined) {
    return { ...common, object: refTo(message), list: refTo(`${message}List`) };
  }
  const name = nameOfCustom(resource);
  return { ...common, object: refToName(name), list: refToName(`${name}List`) };
}

/** The schemas of a custom resource and of its list. */
function customSchemas(resource: Resource): Record<string, SchemaObject> {
  const { group, version, kind, schema } = resource;
  const name = nameOfCustom(resource);
  const own = schema.openApi ?? { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const properties = own["properties"] as SchemaObject | undefined;
  return {
    [name]: {
      ...own,
      ...((properties !== undefined || schema.openApi === undefined) && {
        properties: { ...typeProperties, metadata: { allOf: [refTo(metaMessage)] }, ...properties },
      }),
      "x-kubernetes-group-version-kind": [{ group, kind, version }],
    },
    [`${name}List`]: {
      description: `A page of objects of kind ${kind}.`,
      type: "object",
      required: ["items"],
      properties: {
        ...typeProperties,
        metadata: { allOf: [refTo(listMetaMessage)] },
        items: { type: "array", items: { allOf: [refToName(name)], default: {} } },
      },
      "x-kubernetes-group-version-kind": [{ group, kind: listKindOf(resource), version }],
    },
  };
}

const typeProperties: SchemaObject = {
  apiVersion: {
    description: "The version of the schema of this object, as group/version.",
    type: "string",
  },
  kind: { description: "The kind of this object, in CamelCase.", type: "string" },
};
