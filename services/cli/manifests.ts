/** Reading manifests: files, folders or standard input; YAML or JSON; several documents a file. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { JsonObject } from "../client/mod.ts";
import { limits, parseYaml } from "../kinds/mod.ts";

export interface Manifest {
  readonly file: string;
  readonly object: JsonObject;
}

const bytesMax = 64 * 1024 * 1024;
const documentsMax = 10_000;

/** Throws a StatusError that names the file, the line and the field. */
export function readManifests(files: readonly string[]): Manifest[] {
  const manifests = files.flatMap((file) => readOne(file));
  if (manifests.length > 0) return manifests;
  throw new StatusError(Code.invalidArgument, `no objects in ${files.join(", ")}`);
}

function readOne(file: string): Manifest[] {
  if (file === "-") return parse("standard input", read(0, "standard input"));
  let isFolder: boolean;
  try {
    isFolder = statSync(file).isDirectory();
  } catch (error) {
    throw new StatusError(Code.notFound, `cannot read ${file}: ${(error as Error).message}`);
  }
  if (!isFolder) return parse(file, read(file, file));
  return readdirSync(file)
    .filter((name) => /\.(ya?ml|json)$/.test(name))
    .sort()
    .flatMap((name) => parse(join(file, name), read(join(file, name), join(file, name))));
}

function read(file: string | number, name: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new StatusError(Code.notFound, `cannot read ${name}: ${(error as Error).message}`);
  }
  if (text.length > bytesMax) {
    throw new StatusError(
      Code.invalidArgument,
      `${name}: ${text.length} characters, at most ${bytesMax} are read`,
    );
  }
  return text;
}

/** YAML as kubectl reads it; JSON is a part of YAML. */
function parse(file: string, text: string): Manifest[] {
  let documents: unknown[];
  try {
    documents = parseYaml(text);
  } catch (thrown) {
    const { code, message, detail } = StatusError.from(thrown);
    throw new StatusError(code, `${file}: ${message}`, detail);
  }
  if (documents.length > documentsMax) {
    throw new StatusError(
      Code.invalidArgument,
      `${file}: ${documents.length} documents, at most ${documentsMax} are read`,
    );
  }
  return documents.flatMap((value) => (value === null ? [] : objects(file, value)));
}

/** A List stands for its items. */
function objects(file: string, value: unknown): Manifest[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new StatusError(
      Code.invalidArgument,
      `${file}: a document is ${Array.isArray(value) ? "a list" : typeof value}, must be an object`,
    );
  }
  const object = value as JsonObject;
  for (const field of ["apiVersion", "kind"] as const) {
    if (typeof object[field] === "string" && object[field] !== "") continue;
    throw new StatusError(Code.invalidArgument, `${file}: a document has no ${field}`);
  }
  if (object.kind === "List" && Array.isArray(object["items"])) {
    return object["items"].flatMap((item) => objects(file, item));
  }
  const bytes = JSON.stringify(object).length;
  if (bytes > limits.objectBytes) {
    throw new StatusError(
      Code.invalidArgument,
      `${file}: ${object.kind} "${object.metadata?.name ?? ""}" is ${bytes} bytes, ` +
        `the limit is ${limits.objectBytes}`,
    );
  }
  return [{ file, object }];
}
