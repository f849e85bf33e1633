/** The three patch formats behind one function. */
import { isObject, type JsonObject } from "../json.ts";
import { parseJson } from "../json-text.ts";
import { limits } from "../limits.ts";
import type { Document, Resource } from "../resource.ts";
import { badPatch, unappliable } from "./errors.ts";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";
import { applyStrategicMerge } from "./strategic-merge.ts";

export const PatchType = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategicMerge: "application/strategic-merge-patch+json",
} as const;
export type PatchType = (typeof PatchType)[keyof typeof PatchType];

/**
 * A patched copy of `document`; neither defaulted nor validated. Throws invalidArgument: with
 * reason BadRequest when the patch is malformed, with Invalid when it does not fit the document.
 * Fields that the patch gives twice, of which the last counts, are told to `problems`.
 */
export function applyPatch(
  resource: Resource,
  patchType: string,
  document: Document,
  patch: Uint8Array,
  problems: string[] = [],
): Document {
  const { value, duplicates } = parseJson(decode(patch), limits.objectBytes);
  problems.push(...duplicates);
  const patched = applyParsed(resource, patchType, document, value);
  if (!isObject(patched)) throw unappliable("the patch leaves something that is no object");
  const size = Buffer.byteLength(JSON.stringify(patched));
  if (size > limits.objectBytes) {
    throw unappliable(`the patched object of ${size} bytes exceeds ${limits.objectBytes} bytes`);
  }
  return patched;
}

function applyParsed(
  resource: Resource,
  patchType: string,
  document: JsonObject,
  patch: unknown,
): unknown {
  switch (patchType) {
    case PatchType.json:
      return applyJsonPatch(document, patch);
    case PatchType.merge:
      if (!isObject(patch)) throw badPatch("a merge patch must be a JSON object");
      return applyMergePatch(document, patch);
    case PatchType.strategicMerge:
      if (!isObject(patch)) throw badPatch("a strategic merge patch must be a JSON object");
      if (resource.schema.message === undefined) {
        throw badPatch(`${resource.plural} have no merge keys: send a JSON or merge patch`);
      }
      return applyStrategicMerge(resource.schema.message, document, patch);
    default: {
      const supported = Object.values(PatchType).join(", ");
      throw badPatch(`patch type ${JSON.stringify(patchType)} is not one of: ${supported}`);
    }
  }
}

function decode(patch: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(patch);
  } catch (thrown) {
    throw badPatch(
      `patch is not UTF-8: ${thrown instanceof Error ? thrown.message : "unreadable"}`,
    );
  }
}
