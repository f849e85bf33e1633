import { get } from "../../verbs/get.ts";
import { patch } from "../../verbs/patch.ts";
import { finalize } from "../../verbs/subresources.ts";
import { update } from "../../verbs/update.ts";
import { forceOf } from "../rest/query.ts";
import type { SubresourceRow } from "./table.ts";

/** The status of any resource that has one; also under other names (`statusSubresources`). */
export const statusRow: SubresourceRow = {
  name: "status",
  verbs: {
    get: async ({ backend }, call, { resource, subresource, namespace, name, query }) => {
      const resourceVersion = query.get("resourceVersion") ?? "";
      const request = { name, namespace, resourceVersion };
      return { object: await get(backend, call, resource, request, subresource) };
    },
    update: async ({ backend }, call, { resource, subresource, namespace, body, options }) => {
      const write = { body, namespace, options, subresource, typed: false };
      return { object: await update(backend, call, resource, write) };
    },
    patch: async ({ backend }, call, request) => {
      const { resource, subresource, namespace, name, contentType, body, options } = request;
      const object = await patch(backend, call, resource, {
        ...{ name, namespace, patchType: contentType, subresource, options },
        patch: Buffer.from(body.bytes),
        ...forceOf(request.query),
      });
      return { object };
    },
  },
};

/** A namespace's finalizers. */
export const finalizeRow: SubresourceRow = {
  name: "finalize",
  verbs: {
    update: async ({ backend }, call, { resource, body, options }) => ({
      object: await finalize(backend, call, resource, { body, options }),
    }),
  },
};
