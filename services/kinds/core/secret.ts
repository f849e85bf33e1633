import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Secret, SecretsService } from "../../../proto/gen/core.ts";
import { invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { setField } from "../machinery/json.ts";
import type { Document } from "../machinery/resource.ts";
import { validateBase64, validateImmutable, validateKeys, validateSize } from "./data.ts";

/** Keys that secrets of a known type must have; of a list of several, one is enough. */
const requiredKeys: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "kubernetes.io/tls": [["tls.crt"], ["tls.key"]],
  "kubernetes.io/ssh-auth": [["ssh-privatekey"]],
  "kubernetes.io/basic-auth": [["username", "password"]],
  "kubernetes.io/dockercfg": [[".dockercfg"]],
  "kubernetes.io/dockerconfigjson": [[".dockerconfigjson"]],
};
const accountType = "kubernetes.io/service-account-token";
const accountAnnotation = "kubernetes.io/service-account.name";

const asSecret = (document: Document): Secret => document as Secret;

export const secret = defineKind({
  message: "trireme.core.v1.Secret",
  codec: Secret,
  service: SecretsService,

  setDefaults(document) {
    const secret = asSecret(document);
    secret.type ??= "Opaque";
    if (secret.stringData === undefined) return;
    secret.data ??= {};
    for (const [key, value] of Object.entries(secret.stringData)) {
      setField(secret.data, key, Buffer.from(value).toString("base64"));
    }
    delete secret.stringData;
  },
  validate: (document) => validateSecret(asSecret(document)),
  validateUpdate(next, stored) {
    const causes = validateImmutable(next, stored, ["data"]);
    if (asSecret(next).type !== asSecret(stored).type) {
      causes.push(invalid("type", asSecret(next).type, "field is immutable"));
    }
    return causes;
  },
  selectableFields: { type: (document) => asSecret(document).type ?? "" },
  columns: [
    nameColumn,
    { name: "Type", value: (document) => asSecret(document).type ?? "" },
    {
      name: "Data",
      value: (document) => String(Object.keys(asSecret(document).data ?? {}).length),
    },
    ageColumn,
  ],
});

function validateSecret({ data = {}, type = "", metadata }: Secret): FieldCause[] {
  const causes = [
    ...validateKeys(data, "data"),
    ...validateBase64(data, "data"),
    ...validateSize({}, data, "data"),
  ];
  const groups = Object.hasOwn(requiredKeys, type) ? requiredKeys[type] : undefined;
  for (const keys of groups ?? []) {
    if (keys.some((key) => Object.hasOwn(data, key))) continue;
    for (const key of keys) causes.push(required(`data[${key}]`));
  }
  if (type === accountType && !metadata?.annotations?.[accountAnnotation]) {
    causes.push(required(`metadata.annotations[${accountAnnotation}]`));
  }
  return causes;
}
