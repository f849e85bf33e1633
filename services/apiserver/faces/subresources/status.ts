import { get } from "../../verbs/get.ts";
import { patch } from "../../verbs/patch.ts";
import { finalize } from "../../verbs/subresources.ts";
import { update } from "../../verbs/update.ts";
import { forceOf } from "../rest/query.ts";
import type { SubresourceRow } from "./table.ts";

/** The status of any resource that has one. */
export const statusRow: SubresourceRow = {
  name: "status",
  verbs: {
    get: async ({ backend }, call, { resource, namespace, name, query }) => {
      const resourceVersion = query.get("resourceVersion") ?? "";
      const request = { name, namespace, resourceVersion };
      return { object: await get(backend, call, resource, request, "status") };
    },
    update: async ({ backend }, call, { resource, namespace, body, options }) => {
      const write = { body, namespace, options, subresource: "status", typed: false } as const;
      return { object: await update(backend, call, resource, write) };
    },
    patch: async ({ backend }, call, request) => {
      const { resource, namespace, name, contentType, body, options } = request;
      const object = await patch(backend, call, resource, {
        ...{ name, namespace, patchType: contentType, subresource: "status", options },
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
