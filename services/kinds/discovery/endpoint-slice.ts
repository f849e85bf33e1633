import { isIPv4, isIPv6 } from "node:net";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type Endpoint,
  type EndpointHints,
  type EndpointPort,
  EndpointSlice,
  EndpointSlicesService,
} from "../../../proto/gen/discovery.ts";
import { validateEndpointAddress } from "../core/endpoint-address.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { protocols } from "../core/pod/port-validation.ts";
import { duplicate, invalid, required, tooMany } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, wrong } from "../machinery/field-rules.ts";
import { allButMetadata } from "../machinery/generation.ts";
import {
  checkAddress,
  checkLabelName,
  checkLabelValue,
  checkQualifiedName,
  checkSubdomain,
  nameRules,
} from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";

const addressTypes = ["FQDN", "IPv4", "IPv6"];
const endpointsMax = 1_000;
const addressesMax = 100;
const portsMax = 20_000;
const hintsMax = 8;
const shownMax = 3;

const asSlice = (document: Document): EndpointSlice => document as EndpointSlice;

export const endpointSlice = defineKind({
  message: "trireme.discovery.v1.EndpointSlice",
  codec: EndpointSlice,
  service: EndpointSlicesService,

  setDefaults(document) {
    for (const port of asSlice(document).ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  prepareForCreate: (document) => dropTopology(asSlice(document)),
  prepareForUpdate: (next) => dropTopology(asSlice(next)),
  desiredState: allButMetadata,
  warnings: (document, stored) =>
    stored === undefined && asSlice(document).addressType === "FQDN"
      ? ["spec.addressType: FQDN endpoints are deprecated"]
      : [],
  validate(document) {
    const { addressType = "", endpoints = [], ports = [] } = asSlice(document);
    return [
      ...(addressType === ""
        ? [required("addressType")]
        : oneOf(addressType, addressTypes, "addressType")),
      ...validateEndpoints(endpoints, addressType),
      ...validatePorts(ports),
    ];
  },
  validateUpdate: (next, stored) =>
    unchanged("addressType", asSlice(next).addressType, asSlice(stored).addressType),
  columns: [
    nameColumn,
    { name: "AddressType", value: (document) => asSlice(document).addressType ?? "" },
    {
      name: "Ports",
      value: (document) =>
        listed((asSlice(document).ports ?? []).map(({ port }) => `${port ?? "*"}`)),
    },
    {
      name: "Endpoints",
      value: (document) =>
        listed((asSlice(document).endpoints ?? []).flatMap(({ addresses = [] }) => addresses)),
    },
    ageColumn,
  ],
});

/** Objects of this version keep no topology (upstream `dropTopologyOnV1`). */
function dropTopology(slice: EndpointSlice): void {
  for (const endpoint of slice.endpoints ?? []) delete endpoint.deprecatedTopology;
}

function validateEndpoints(endpoints: readonly Endpoint[], addressType: string): FieldCause[] {
  if (endpoints.length > endpointsMax) {
    return [tooMany("endpoints", endpoints.length, endpointsMax)];
  }
  return endpoints.flatMap((endpoint, index) => {
    const at = `endpoints[${index}]`;
    const { addresses = [], nodeName, hostname, hints = {} } = endpoint;
    const causes: FieldCause[] = [];
    if (addresses.length === 0) {
      causes.push(required(`${at}.addresses`, "must contain at least 1 address"));
    } else if (addresses.length > addressesMax) {
      causes.push(tooMany(`${at}.addresses`, addresses.length, addressesMax));
    }
    addresses.forEach((address, position) => {
      causes.push(...validateAddress(address, addressType, position, `${at}.addresses`));
    });
    if (nodeName !== undefined) {
      causes.push(...wrong(`${at}.nodeName`, nodeName, checkSubdomain(nodeName)));
    }
    if (hostname !== undefined) {
      causes.push(...wrong(`${at}.hostname`, hostname, checkLabelName(hostname)));
    }
    return [...causes, ...validateHints(hints, `${at}.hints`)];
  });
}

function validateAddress(address: string, addressType: string, index: number, list: string) {
  const path = `${list}[${index}]`;
  if (addressType === "FQDN") return validateDomain(address, path);
  if (addressType !== "IPv4" && addressType !== "IPv6") return [];
  // IPv6 addresses have one form alone.
  const check = addressType === "IPv4" ? checkAddress : nameRules.address;
  const causes = wrong(path, address, check(address));
  if (causes.length > 0) return causes;
  const fits = addressType === "IPv4" ? isIPv4(address) : isIPv6(address);
  return [
    ...(fits ? [] : [invalid(list, address, `must be an ${addressType} address`)]),
    ...validateEndpointAddress(address, path),
  ];
}

function validateDomain(text: string, path: string): FieldCause[] {
  if (text === "") return [required(path)];
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  const problems = checkSubdomain(name);
  if (problems.length > 0) return [invalid(path, name, problems.join(","))];
  const labels = name.split(".");
  if (labels.length < 2) {
    const detail = "should be a domain with at least two segments separated by dots";
    return [invalid(path, name, detail)];
  }
  return labels.flatMap((label) => {
    const faults = checkLabelName(label);
    return faults.length > 0 ? [invalid(path, label, faults.join(","))] : [];
  });
}

function validateHints(
  { forZones = [], forNodes = [] }: EndpointHints,
  path: string,
): FieldCause[] {
  return [
    ...validateNames(forZones, `${path}.forZones`, checkLabelValue),
    ...validateNames(forNodes, `${path}.forNodes`, checkSubdomain),
  ];
}

function validateNames(
  list: readonly { name?: string | undefined }[],
  path: string,
  check: (name: string) => string[],
): FieldCause[] {
  if (list.length > hintsMax) return [tooMany(path, list.length, hintsMax)];
  const seen = new Set<string>();
  return list.flatMap(({ name = "" }, index) => {
    const at = `${path}[${index}].name`;
    const causes = seen.has(name) ? [duplicate(at, name)] : [];
    seen.add(name);
    return [...causes, ...wrong(at, name, check(name))];
  });
}

function validatePorts(ports: readonly EndpointPort[]): FieldCause[] {
  if (ports.length > portsMax) return [tooMany("ports", ports.length, portsMax)];
  const names = new Set<string>();
  return ports.flatMap(({ name = "", protocol = "", appProtocol }, index) => {
    const at = `ports[${index}]`;
    const causes = name === "" ? [] : wrong(`${at}.name`, name, checkLabelName(name));
    if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
    causes.push(...oneOf(protocol, protocols, `${at}.protocol`));
    if (appProtocol === undefined) return causes;
    return [...causes, ...wrong(`${at}.appProtocol`, appProtocol, checkQualifiedName(appProtocol))];
  });
}

function listed(items: readonly string[]): string {
  if (items.length === 0) return "<unset>";
  const more = items.length > shownMax ? ` + ${items.length - shownMax} more...` : "";
  return items.slice(0, shownMax).join(",") + more;
}
