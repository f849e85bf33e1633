/** The verb pipeline: what every face of the API stands on. */
export type { Backend } from "./backend.ts";
export { type Call, callOf, internalCall } from "./call.ts";
export { create } from "./create.ts";
export { remove, removeCollection, removeKey } from "./delete.ts";
export { decodeJson } from "./documents.ts";
export { Gate } from "./gate.ts";
export { get } from "./get.ts";
export { type ListPage, list } from "./list.ts";
export { bind, evict } from "./pods.ts";
export { finalize, getScale, updateScale } from "./subresources.ts";
export { patch, update } from "./update.ts";
export { watch } from "./watch.ts";
export { decodeScaleWrite, decodeTypedWrite } from "./wire-fields.ts";
