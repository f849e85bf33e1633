import { ConfigMap, ConfigMapsService } from "../../../proto/gen/core.ts";
import { invalid } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { joinBase64, validateImmutable, validateKeys, validateSize } from "./data.ts";

export const configMap = defineKind({
  message: "trireme.core.v1.ConfigMap",
  codec: ConfigMap,
  service: ConfigMapsService,
  shortNames: ["cm"],

  setDefaults: (document) => joinBase64(document as ConfigMap, "binaryData"),
  validate(document) {
    const { data = {}, binaryData = {} } = document as ConfigMap;
    const both = Object.keys(data).filter((key) => Object.hasOwn(binaryData, key));
    return [
      ...validateKeys(data, "data"),
      ...validateKeys(binaryData, "binaryData"),
      ...both.map((key) => invalid(`data[${key}]`, key, "duplicate of key present in binaryData")),
      // Upstream's path of the whole object.
      ...validateSize(data, binaryData, "[]"),
    ];
  },
  validateUpdate: (next, stored) => validateImmutable(next, stored, ["data", "binaryData"]),
  columns: [
    nameColumn,
    {
      name: "Data",
      description: "Number of entries, binary ones included.",
      value: (document) => {
        const { data = {}, binaryData = {} } = document as ConfigMap;
        return Object.keys(data).length + Object.keys(binaryData).length;
      },
    },
    ageColumn,
  ],
});
