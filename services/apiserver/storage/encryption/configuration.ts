/**
 * `EncryptionConfiguration` of apiserver.config.k8s.io/v1: which resources are stored encrypted, and
 * with which keys. The first entry that names a resource decides; of its providers the first writes,
 * and all read.
 */
import { Code, type FieldCause, StatusError } from "../../../../ha/runtime/status-error.ts";
import { duplicate, forbidden, typeInvalid } from "../../../kinds/machinery/causes.ts";
import { getField, isObject, type JsonObject } from "../../../kinds/machinery/json.ts";
import { invalid, notSupported, parseYaml, required } from "../../../kinds/mod.ts";
import { type Cipher, type CipherName, cipherOf, identity, keySizes } from "./ciphers.ts";

export interface EncryptionRule {
  /** `secrets`, `deployments.apps`, `*.apps`, `*.` (the core group), `*.*`. */
  readonly resources: readonly string[];
  /** The first one writes. */
  readonly ciphers: readonly Cipher[];
}

const version = "apiserver.config.k8s.io/v1";
const textMax = 1024 * 1024;
const keysMax = 100;

/** Throws InvalidArgument with everything that is wrong with it. Never tells a secret. */
export function parseEncryptionConfiguration(text: string, file: string): EncryptionRule[] {
  const wrong = (why: string) =>
    new StatusError(Code.invalidArgument, `--encryption-provider-config ${file}: ${why}`);
  if (text.length > textMax) throw wrong(`${text.length} bytes, at most ${textMax} are read`);
  let documents: unknown[];
  try {
    documents = parseYaml(text).filter((each) => each !== null);
  } catch (thrown) {
    throw wrong(StatusError.from(thrown).message);
  }
  if (documents.length !== 1) throw wrong(`${documents.length} YAML documents, must be one`);
  const reader = new ConfigurationReader();
  const rules = reader.read(documents[0]);
  if (reader.causes.length === 0) return rules;
  throw wrong(reader.causes.map(({ field, message }) => `${field}: ${message}`).join("; "));
}

/** Whether a rule's list names the resource. */
export function names(rule: EncryptionRule, group: string, plural: string): boolean {
  const whole = group === "" ? plural : `${plural}.${group}`;
  return rule.resources.some((each) => each === whole || each === `*.${group}` || each === "*.*");
}

class ConfigurationReader {
  readonly causes: FieldCause[] = [];

  read(value: unknown): EncryptionRule[] {
    const fields = this.#object("configuration", value, ["apiVersion", "kind", "resources"]);
    const { apiVersion = "", kind = "" } = fields;
    if (apiVersion !== version) this.causes.push(notSupported("apiVersion", apiVersion, [version]));
    if (kind !== "EncryptionConfiguration") {
      this.causes.push(notSupported("kind", kind, ["EncryptionConfiguration"]));
    }
    const entries = this.#list("resources", fields, "resources");
    return entries.map((entry, index) => this.#rule(`resources[${index}]`, entry));
  }

  #rule(at: string, value: unknown): EncryptionRule {
    const fields = this.#object(at, value, ["resources", "providers"]);
    const resources = this.#list(`${at}.resources`, fields, "resources").map((each, index) =>
      this.#resource(`${at}.resources[${index}]`, each),
    );
    this.#checkOverlap(`${at}.resources`, resources);
    const providers = this.#list(`${at}.providers`, fields, "providers");
    const ciphers = providers.flatMap((each, index) =>
      this.#provider(`${at}.providers[${index}]`, each),
    );
    return { resources, ciphers };
  }

  #resource(at: string, value: unknown): string {
    if (typeof value !== "string" || value === "") {
      this.causes.push(typeInvalid(at, value, "must be the name of a resource"));
      return "";
    }
    if (value === "*") {
      const why = "use '*.' to encrypt all the resources from core API group or *.* for all";
      this.causes.push(invalid(at, value, why));
    } else if (value === "*.events.k8s.io" || value === "events.events.k8s.io") {
      const why = "events are stored in the core group: use 'events' instead";
      this.causes.push(invalid(at, value, why));
    } else if (!/^(?:\*|[a-z0-9][-a-z0-9]*)(?:\.(?:\*|[-a-z0-9.]*))?$/.test(value)) {
      const why = "must be a plural name in small letters, with its group behind a dot";
      this.causes.push(invalid(at, value, why));
    } else if (/[^*]\.\*$/.test(value)) {
      const why = "wildcards stand for all resources of a group (*.apps) or for all (*.*)";
      this.causes.push(invalid(at, value, why));
    }
    return value;
  }

  #checkOverlap(at: string, resources: readonly string[]): void {
    resources.forEach((each, index) => {
      const dot = each.indexOf(".");
      const group = dot < 0 ? "" : each.slice(dot + 1);
      const wider = ["*.*", `*.${group}`].find((one) => one !== each && resources.includes(one));
      if (resources.indexOf(each) !== index) this.causes.push(duplicate(`${at}[${index}]`, each));
      else if (wider !== undefined) {
        const why = `overlaps with '${wider}' of the same list, and would be masked`;
        this.causes.push(invalid(`${at}[${index}]`, each, why));
      }
    });
  }

  #provider(at: string, value: unknown): Cipher[] {
    const fields = this.#object(at, value, ["aesgcm", "aescbc", "secretbox", "identity", "kms"]);
    const given = Object.keys(fields);
    const [name] = given;
    if (name === undefined || given.length > 1) {
      this.causes.push(invalid(at, given, "exactly one provider is named by each element"));
      return [];
    }
    if (name === "kms") {
      const why = "key management services are not called: use aesgcm, aescbc or secretbox";
      this.causes.push(forbidden(`${at}.kms`, why));
      return [];
    }
    if (name === "identity") {
      this.#object(`${at}.identity`, fields["identity"] ?? {}, []);
      return [identity];
    }
    if (!isCipherName(name)) return [];
    const inner = this.#object(`${at}.${name}`, fields[name], ["keys"]);
    const keys = this.#list(`${at}.${name}.keys`, inner, "keys");
    if (keys.length > keysMax) {
      this.causes.push(invalid(`${at}.${name}.keys`, keys.length, `at most ${keysMax} keys`));
    }
    return keys.flatMap((key, index) => this.#key(`${at}.${name}.keys[${index}]`, name, key));
  }

  #key(at: string, cipher: CipherName, value: unknown): Cipher[] {
    const { name, secret } = this.#object(at, value, ["name", "secret"]);
    if (typeof name !== "string" || name === "") this.causes.push(required(`${at}.name`));
    else if (name.includes(":") || name.length > 253) {
      const why = "must have at most 253 characters and no colon";
      this.causes.push(invalid(`${at}.name`, name, why));
    }
    if (typeof secret !== "string" || secret === "") {
      this.causes.push(required(`${at}.secret`));
      return [];
    }
    const bytes = Buffer.from(secret, "base64");
    if (bytes.toString("base64").replace(/=+$/, "") !== secret.trim().replace(/=+$/, "")) {
      this.causes.push(invalid(`${at}.secret`, "REDACTED", "secrets must be base64 encoded"));
      return [];
    }
    const sizes = keySizes[cipher];
    if (!sizes.includes(bytes.length)) {
      const why =
        `secret is not of the expected length, got ${bytes.length}, expected one of ` +
        `[${sizes.join(" ")}]`;
      this.causes.push(invalid(`${at}.secret`, "REDACTED", why));
      return [];
    }
    return [cipherOf(cipher, String(name), bytes)];
  }

  /** A list with something in it. */
  #list(at: string, fields: JsonObject, name: string): readonly unknown[] {
    const value = getField(fields, name);
    if (Array.isArray(value) && value.length > 0) return value;
    if (value === undefined || Array.isArray(value)) {
      this.causes.push(required(at, "at least one element"));
    } else this.causes.push(typeInvalid(at, value, "must be a list"));
    return [];
  }

  #object(at: string, value: unknown, known: readonly string[]): JsonObject {
    if (!isObject(value)) {
      this.causes.push(typeInvalid(at, value, "must be an object"));
      return {};
    }
    for (const name of Object.keys(value)) {
      if (known.includes(name)) continue;
      this.causes.push(invalid(`${at}.${name}`, "REDACTED", "unknown field"));
    }
    return value;
  }
}

function isCipherName(name: string): name is CipherName {
  return Object.hasOwn(keySizes, name);
}
