/** The verb pipeline: what every face of the API stands on. */
export type { Backend } from "./backend.ts";
export { bindAll } from "./bind-all.ts";
export { documentBody } from "./body.ts";
export { type Call, callFrom, internalCall } from "./call.ts";
export { create, type WriteRequest } from "./create.ts";
export { remove, removeCollection, removeObject, removeSelected } from "./delete.ts";
export { FlowControl } from "./flow-control.ts";
export { get } from "./get.ts";
export { type ListPage, list } from "./list.ts";
export { patch } from "./patch.ts";
export { bind, evict } from "./pods.ts";
export { finalize, getScale, updateScale } from "./subresources.ts";
export { TimeToLive } from "./time-to-live.ts";
export { update } from "./update.ts";
export { warningHeader } from "./warnings.ts";
export { watch } from "./watch.ts";
export { decodeRequest } from "./wire-fields.ts";
