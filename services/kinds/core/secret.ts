import { type FieldCause, StatusError } from "../../../ha/runtime/status-error.ts";
import { Secret, SecretsService } from "../../../proto/gen/core.ts";
import { invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { isObject, setField } from "../machinery/json.ts";
import { parseJson } from "../machinery/json-text.ts";
import { limits } from "../machinery/limits.ts";
import type { Document } from "../machinery/resource.ts";
import { joinBase64, validateImmutable, validateKeys, validateSize } from "./data.ts";

const sshType = "kubernetes.io/ssh-auth";
/** Keys that secrets of a known type must have; of a list of several, one is enough. */
const requiredKeys: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "kubernetes.io/tls": [["tls.crt"], ["tls.key"]],
  [sshType]: [["ssh-privatekey"]],
  "kubernetes.io/basic-auth": [["username", "password"]],
  "kubernetes.io/dockercfg": [[".dockercfg"]],
  "kubernetes.io/dockerconfigjson": [[".dockerconfigjson"]],
};
/** Keys of secrets whose value must be a JSON object. */
const dockerKeys: Readonly<Record<string, string>> = {
  "kubernetes.io/dockercfg": ".dockercfg",
  "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
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
    secret.type ||= "Opaque";
    joinBase64(secret, "data");
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
    {
      name: "Type",
      description: "What the data are for; it decides which keys must be there.",
      value: (document) => asSecret(document).type ?? "",
    },
    {
      name: "Data",
      description: "Number of entries.",
      value: (document) => Object.keys(asSecret(document).data ?? {}).length,
    },
    ageColumn,
  ],
});

function validateSecret({ data = {}, type = "", metadata }: Secret): FieldCause[] {
  const causes = [...validateKeys(data, "data"), ...validateSize({}, data, "data")];
  const groups = Object.hasOwn(requiredKeys, type) ? requiredKeys[type] : undefined;
  for (const keys of groups ?? []) {
    // Of a key for SSH, upstream asks that it is not empty.
    const given = (key: string) => (type === sshType ? data[key] : data[key] !== undefined);
    if (keys.some(given)) continue;
    for (const key of keys) causes.push(required(`data[${key}]`));
  }
  const configKey = Object.hasOwn(dockerKeys, type) ? dockerKeys[type] : undefined;
  const config = configKey === undefined ? undefined : data[configKey];
  if (config !== undefined) causes.push(...validateDocker(config, `data[${configKey}]`));
  if (type === accountType && !metadata?.annotations?.[accountAnnotation]) {
    causes.push(required(`metadata.annotations[${accountAnnotation}]`));
  }
  return causes;
}

/** The value itself stays out of the message, but for the character at fault. */
function validateDocker(encoded: string, field: string): FieldCause[] {
  const wrong = (why: string) => [invalid(field, "<secret contents redacted>", why)];
  let value: unknown;
  try {
    ({ value } = parseJson(Buffer.from(encoded, "base64").toString("utf8"), limits.dataBytes));
  } catch (thrown) {
    return wrong(thrown instanceof StatusError ? thrown.message : "invalid JSON");
  }
  return value === null || isObject(value) ? [] : wrong("must be a JSON object");
}
