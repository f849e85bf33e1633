/** Certificates by the name that a client asks for: from the secrets that Ingresses name. */
import { createSecureContext, type SecureContext } from "node:tls";
import type { Secret } from "../../proto/gen/core.ts";
import type { Ingress } from "../../proto/gen/networking.ts";

export interface Problem {
  readonly ingress: Ingress;
  readonly message: string;
}

interface Loaded {
  readonly secret: Secret;
  readonly context: SecureContext | string;
}

export class Certificates {
  readonly #loaded = new Map<string, Loaded>();
  #byHost = new Map<string, SecureContext>();
  /** For clients that name no host. */
  #first: SecureContext | undefined;

  /** `ingresses`: in the order of their age; of a host that two name, the older one's counts. */
  update(
    ingresses: readonly Ingress[],
    secretOf: (namespace: string, name: string) => Secret | undefined,
  ): readonly Problem[] {
    const problems: Problem[] = [];
    const byHost = new Map<string, SecureContext>();
    const used = new Set<string>();
    this.#first = undefined;
    for (const ingress of ingresses) {
      const { metadata, spec } = ingress;
      for (const { hosts = [], secretName = "" } of spec?.tls ?? []) {
        if (secretName === "") continue;
        const key = `${metadata?.namespace}/${secretName}`;
        used.add(key);
        const context = this.#load(key, secretOf(metadata?.namespace ?? "", secretName));
        if (typeof context === "string") {
          problems.push({ ingress, message: `the secret "${secretName}" ${context}` });
          continue;
        }
        this.#first ??= context;
        const rules = (spec?.rules ?? []).flatMap(({ host = "" }) => (host === "" ? [] : [host]));
        for (const host of hosts.length > 0 ? hosts : rules) {
          const name = host.toLowerCase();
          if (!byHost.has(name)) byHost.set(name, context);
        }
      }
    }
    for (const key of this.#loaded.keys()) if (!used.has(key)) this.#loaded.delete(key);
    this.#byHost = byHost;
    return problems;
  }

  /** Undefined: there is no certificate for the name. */
  contextFor(host: string): SecureContext | undefined {
    const name = host.toLowerCase();
    if (name === "") return this.#first;
    return this.#byHost.get(name) ?? this.#byHost.get(`*${name.slice(name.indexOf("."))}`);
  }

  /** A text: why it cannot be used. */
  #load(key: string, secret: Secret | undefined): SecureContext | string {
    if (secret === undefined) return "does not exist";
    const known = this.#loaded.get(key);
    if (known?.secret === secret) return known.context;
    const context = contextOf(secret);
    this.#loaded.set(key, { secret, context });
    return context;
  }
}

function contextOf({ data = {} }: Secret): SecureContext | string {
  const [cert, key] = ["tls.crt", "tls.key"].map((name) => data[name]);
  if (cert === undefined || key === undefined) return "lacks tls.crt or tls.key";
  const pem = (text: string | Uint8Array) =>
    typeof text === "string" ? Buffer.from(text, "base64") : Buffer.from(text);
  try {
    return createSecureContext({ cert: pem(cert), key: pem(key), minVersion: "TLSv1.2" });
  } catch (error) {
    return `has no certificate with its key: ${(error as Error).message}`;
  }
}
