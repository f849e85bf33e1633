/** Name resolution of a pod (upstream `validatePodDNSConfig`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { PodSpec } from "../../../../proto/gen/core.ts";
import { invalid, required } from "../../machinery/causes.ts";
import { checkAddress, checkSubdomainWithUnderscores } from "../../machinery/names.ts";

/** What the resolver of libc takes. */
const nameserversMax = 3;
const searchesMax = 32;
const searchCharactersMax = 2_048;

export function validateDns(spec: PodSpec, podPath: string): FieldCause[] {
  const path = `${podPath}.dnsConfig`;
  const { dnsConfig, dnsPolicy } = spec;
  const { nameservers = [], searches = [], options = [] } = dnsConfig ?? {};
  if (dnsPolicy === "None" && dnsConfig === undefined) {
    return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")];
  }
  if (dnsPolicy === "None" && nameservers.length === 0) {
    const detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
    return [required(`${path}.nameservers`, detail)];
  }
  const causes: FieldCause[] = [];
  if (nameservers.length > nameserversMax) {
    const detail = `must not have more than ${nameserversMax} nameservers`;
    causes.push(invalid(`${path}.nameservers`, nameservers, detail));
  }
  nameservers.forEach((address, index) => {
    for (const problem of checkAddress(address)) {
      causes.push(invalid(`${path}.nameservers[${index}]`, address, problem));
    }
  });
  if (searches.length > searchesMax) {
    const detail = `must not have more than ${searchesMax} search paths`;
    causes.push(invalid(`${path}.searches`, searches, detail));
  }
  if (searches.join(" ").length > searchCharactersMax) {
    const detail =
      `must not have more than ${searchCharactersMax} characters (including spaces) in the ` +
      "search list";
    causes.push(invalid(`${path}.searches`, searches, detail));
  }
  searches.forEach((search, index) => {
    if (search === ".") return;
    const name = search.replace(/\.$/, "");
    for (const problem of checkSubdomainWithUnderscores(name)) {
      causes.push(invalid(`${path}.searches[${index}]`, name, problem));
    }
  });
  options.forEach(({ name = "" }, index) => {
    if (name === "") causes.push(required(`${path}.options[${index}]`, "must not be empty"));
  });
  return causes;
}
