/** Bodies of requests: JSON, YAML, or the protobuf encoding of client-go's typed clients. */
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { WriteOptions } from "../../../../proto/gen/meta.ts";
import {
  apiVersionOf,
  type Document,
  duplicatesText,
  parseJson,
  parseYaml,
  type Resource,
} from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import { limits } from "../../limits.ts";
import type { Body } from "../../verbs/body.ts";
import { decodedDocument, metadataOf } from "../../verbs/documents.ts";
import type { Call } from "../../verbs/mod.ts";
import { decodeProtobuf } from "./protobuf/decode.ts";
import type { ResourceTarget } from "./target.ts";
import type { RestRequest } from "./types.ts";

export interface Content {
  readonly value: unknown;
  /** Fields that are given twice; the last one counts. */
  readonly duplicates: readonly string[];
}

/** The media type without its parameters; JSON where the client says nothing. */
export function mediaTypeOf(request: RestRequest): string {
  const text = request.header("content-type") ?? "";
  return (text.split(";")[0] ?? "").trim().toLowerCase() || "application/json";
}

/** Undefined for an empty body. Throws UnsupportedMediaType, BadRequest. */
export function contentOf(request: RestRequest): Content | undefined {
  const type = mediaTypeOf(request);
  if (request.body.length === 0) return undefined;
  if (type === "application/json") return parseJson(textOf(request.body), limits.restBodyBytes);
  if (type === "application/yaml") return yamlOf(request.body);
  if (type === protobufType) return protobufOf(request.body);
  throw unsupportedMediaType(
    "the body of the request was in an unknown format - accepted media types include: " +
      `application/json, application/yaml, ${protobufType}`,
  );
}

const bodyLengthTold = 1_000;

const protobufType = "application/vnd.kubernetes.protobuf";

/** Throws UnsupportedMediaType for a kind that is known in JSON alone. */
function protobufOf(bytes: Uint8Array): Content {
  const decoded = decodeProtobuf(bytes);
  if (decoded !== undefined) return { value: decoded.value, duplicates: decoded.unknown };
  throw unsupportedMediaType(
    "the protobuf encoding of this kind is not known here - accepted media types include: " +
      "application/json, application/yaml",
  );
}

/** One YAML document. Throws BadRequest. */
function yamlOf(bytes: Uint8Array): Content {
  const duplicates: string[] = [];
  const documents = parseYaml(textOf(bytes), duplicates).filter((each) => each !== null);
  if (documents.length === 1) {
    return { value: documents[0], duplicates: duplicatesText(duplicates) };
  }
  throw badRequest(`the body has ${documents.length} YAML documents, must have one`);
}

export function unsupportedMediaType(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message, { reason: "UnsupportedMediaType" });
}

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw badRequest("the body is not UTF-8");
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** The object of a create or an update, which is decoded when the verb asks for it. */
export class RestBody implements Body {
  readonly bytes: Uint8Array;
  readonly #request: RestRequest;
  readonly #resource: Resource;
  readonly #target: ResourceTarget;
  #content: Content | undefined;

  constructor(request: RestRequest, resource: Resource, target: ResourceTarget) {
    this.bytes = request.body;
    this.#request = request;
    this.#resource = resource;
    this.#target = target;
  }

  /** The path says it; `decode` holds the object to that. */
  get namespace(): string | undefined {
    return this.#target.namespace;
  }

  get name(): string | undefined {
    const { name } = this.#target;
    if (name !== "") return name;
    // Authorizers look at the name of what is created outside of namespaces.
    return this.#resource.namespaced ? undefined : nameIn(this.#read().value);
  }

  identity(): readonly Uint8Array[] {
    return [this.bytes];
  }

  decode(call: Call, options: WriteOptions | undefined): Document {
    const { value, duplicates } = this.#read();
    if (this.#resource.codec === undefined) this.#checkTyped(value);
    const document = decodedDocument(call, this.#resource, value, options, duplicates);
    this.#checkAddress(document);
    return document;
  }

  /** Built-in kinds are known by their path; custom resources say what they are. */
  #checkTyped(value: unknown): void {
    const { kind, version } = this.#resource;
    const { apiVersion = "", kind: given = "" } = (value ?? {}) as Document;
    if (given === "") {
      const text = Buffer.from(this.bytes).toString("utf8").slice(0, bodyLengthTold);
      throw badRequest(
        `${kind} in version "${version}" cannot be handled as a ${kind}: ` +
          `Object 'Kind' is missing in '${text}'`,
      );
    }
    if (apiVersion === "") {
      throw badRequest(
        "the API version in the data () does not match the expected API version " +
          `(${apiVersionOf(this.#resource)})`,
      );
    }
  }

  #read(): Content {
    this.#content ??= this.#parsed();
    return this.#content;
  }

  /** Throws BadRequest as upstream does of what is no object of any kind. */
  #parsed(): Content {
    const unrecognized = (why: string) => {
      const expected = `must be of type ${this.#resource.kind}`;
      return badRequest(`the object provided is unrecognized (${expected}): ${why}`);
    };
    const untyped = "couldn't get version/kind; json parse error: ";
    let content: Content | undefined;
    try {
      content = contentOf(this.#request);
    } catch (thrown) {
      const { code, message, detail } = StatusError.from(thrown);
      if (code !== Code.invalidArgument || detail?.reason === "UnsupportedMediaType") throw thrown;
      throw unrecognized(message.startsWith("invalid JSON") ? untyped + message : message);
    }
    if (content === undefined) {
      throw unrecognized(`${untyped}unexpected end of JSON input (<empty>)`);
    }
    const { value } = content;
    if (typeof value === "object" && !Array.isArray(value)) return content;
    const given = Array.isArray(value)
      ? "array"
      : typeof value === "boolean"
        ? "bool"
        : typeof value;
    throw unrecognized(`${untyped}json: cannot unmarshal ${given} into Go value of type ${goType}`);
  }

  /** Throws BadRequest in upstream's words (apiserver `handlers/rest.go` checkName). */
  #checkAddress(document: Document): void {
    const { name, namespace } = this.#target;
    const metadata = metadataOf(document);
    if (name !== "" && metadata.name !== name) {
      throw badRequest(
        metadata.name
          ? `the name of the object (${metadata.name}) does not match the name on the URL (${name})`
          : `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
      );
    }
    if (!this.#resource.namespaced || !metadata.namespace || metadata.namespace === namespace)
      return;
    throw badRequest(
      name === ""
        ? "the namespace of the provided object does not match the namespace sent on the request"
        : `the namespace of the object (${metadata.namespace}) does not match the namespace on ` +
            `the request (${namespace})`,
    );
  }
}

/** What upstream's decoder looks at first. */
const goType =
  'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; ' +
  'Kind string "json:\\"kind,omitempty\\"" }';

function nameIn(value: unknown): string | undefined {
  const { metadata } = (value ?? {}) as { metadata?: { name?: unknown } | null };
  return typeof metadata?.name === "string" ? metadata.name : undefined;
}
