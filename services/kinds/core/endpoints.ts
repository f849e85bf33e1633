import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type EndpointAddress,
  type EndpointSubset,
  Endpoints,
  EndpointsCollectionService,
} from "../../../proto/gen/core.ts";
import { invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import {
  checkAddress,
  checkLabelName,
  checkQualifiedName,
  checkSubdomain,
} from "../machinery/names.ts";
import { validateEndpointAddress } from "./endpoint-address.ts";
import { oneOf } from "./pod/field-checks.ts";
import { protocols, validatePort } from "./pod/port-validation.ts";

const shownMax = 3;

export const endpoints = defineKind({
  message: "trireme.core.v1.Endpoints",
  codec: Endpoints,
  service: EndpointsCollectionService,
  createOnUpdate: true,
  shortNames: ["ep"],
  deprecationWarning: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",

  setDefaults(document) {
    for (const subset of (document as Endpoints).subsets ?? []) {
      for (const port of subset.ports ?? []) port.protocol ||= "TCP";
    }
  },
  validate: (document) =>
    ((document as Endpoints).subsets ?? []).flatMap((subset, index) =>
      validateSubset(subset, `subsets[${index}]`),
    ),
  columns: [
    nameColumn,
    {
      name: "Endpoints",
      description: "The first addresses with their ports, and how many more there are.",
      value: (document) => addressesText((document as Endpoints).subsets ?? []),
    },
    ageColumn,
  ],
});

function validateSubset(subset: EndpointSubset, path: string): FieldCause[] {
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  const causes: FieldCause[] = [];
  if (addresses.length + notReadyAddresses.length === 0) {
    causes.push(required(path, "must specify `addresses` or `notReadyAddresses`"));
  }
  for (const [name, list] of Object.entries({ addresses, notReadyAddresses })) {
    list.forEach((address, index) => {
      causes.push(...validateAddress(address, `${path}.${name}[${index}]`));
    });
  }
  ports.forEach(({ name = "", port = 0, protocol = "", appProtocol }, index) => {
    const at = `${path}.ports[${index}]`;
    if (name === "" && ports.length > 1) causes.push(required(`${at}.name`));
    if (name !== "") {
      for (const problem of checkLabelName(name)) causes.push(invalid(`${at}.name`, name, problem));
    }
    causes.push(...validatePort(port, `${at}.port`));
    if (protocol === "") causes.push(required(`${at}.protocol`));
    else causes.push(...oneOf(protocol, protocols, `${at}.protocol`));
    if (appProtocol === undefined) return;
    causes.push(...wrong(`${at}.appProtocol`, appProtocol, checkQualifiedName(appProtocol)));
  });
  return causes;
}

function validateAddress(address: EndpointAddress, path: string): FieldCause[] {
  const { ip = "", hostname = "", nodeName } = address;
  return [
    ...wrong(`${path}.ip`, ip, checkAddress(ip)),
    ...(hostname === "" ? [] : wrong(`${path}.hostname`, hostname, checkLabelName(hostname))),
    ...(nodeName === undefined
      ? []
      : wrong(`${path}.nodeName`, nodeName, checkSubdomain(nodeName))),
    ...validateEndpointAddress(ip, `${path}.ip`),
  ];
}

function addressesText(subsets: readonly EndpointSubset[]): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => `${ip}`)
      : ports.flatMap(({ port }) => addresses.map(({ ip }) => `${ip}:${port}`)),
  );
  if (all.length === 0) return "<none>";
  const more = all.length > shownMax ? ` + ${all.length - shownMax} more...` : "";
  return all.slice(0, shownMax).join(",") + more;
}
