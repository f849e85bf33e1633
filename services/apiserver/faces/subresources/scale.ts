import type { Scale } from "../../../../proto/gen/autoscaling.ts";
import { ageColumn, nameColumn } from "../../../kinds/machinery/define.ts";
import type { Column } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";
import { getScale, patchScale, updateScale } from "../../verbs/subresources.ts";
import { forceOf } from "../rest/query.ts";
import type { SubresourceRequest, SubresourceRow } from "./table.ts";

/** The wanted replicas of any resource that scales, as autoscaling/v1 Scale. */
export const scaleRow: SubresourceRow = {
  name: "scale",
  kind: { group: "autoscaling", version: "v1", kind: "Scale" },
  verbs: {
    get: async ({ backend }, call, { resource, namespace, name, query }) => {
      const resourceVersion = query.get("resourceVersion") ?? "";
      const request = { name, namespace, resourceVersion };
      return { document: await getScale(backend, call, resource, request), columns };
    },
    update: async ({ backend }, call, request) => {
      const { resource, namespace, options } = request;
      const write = { object: scaleIn(request), namespace, options };
      return { document: await updateScale(backend, call, resource, write), columns };
    },
    patch: async ({ backend }, call, request) => {
      const { resource, namespace, name, contentType, body, options } = request;
      const document = await patchScale(backend, call, resource, {
        ...{ name, namespace, patchType: contentType, patch: Buffer.from(body.bytes), options },
        ...forceOf(request.query),
      });
      return { document, columns };
    },
  },
};

/** As upstream shows a Scale (printers `internalversion`). */
const columns: readonly Column[] = [
  nameColumn,
  {
    name: "Desired",
    description: "Replicas wanted.",
    type: "integer",
    value: (document) => (document as Scale).spec?.replicas ?? 0,
  },
  {
    name: "Available",
    description: "Replicas that exist.",
    type: "integer",
    value: (document) => (document as Scale).status?.replicas ?? 0,
  },
  ageColumn,
];

/** Throws BadRequest. */
function scaleIn({ name, content }: SubresourceRequest): Scale {
  const value = content();
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest("the body is no Scale of autoscaling/v1");
  }
  const scale = value as Scale;
  const { apiVersion = "autoscaling/v1", kind = "Scale" } = scale;
  if (apiVersion !== "autoscaling/v1" || kind !== "Scale") {
    throw badRequest(`the body is ${apiVersion}, Kind=${kind}, must be autoscaling/v1, Kind=Scale`);
  }
  const replicas = scale.spec?.replicas;
  if (replicas !== undefined && !Number.isInteger(replicas)) {
    throw badRequest(`Scale: spec.replicas is ${JSON.stringify(replicas)}, must be a whole number`);
  }
  const given = scale.metadata?.name;
  if (given !== undefined && given !== name) {
    throw badRequest(
      `the name of the object (${given}) does not match the name on the URL (${name})`,
    );
  }
  return { ...scale, metadata: { ...scale.metadata, name } };
}
