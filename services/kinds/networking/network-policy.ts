import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type IPBlock,
  NetworkPoliciesService,
  NetworkPolicy,
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  type NetworkPolicySpec,
} from "../../../proto/gen/networking.ts";
import { protocols } from "../core/pod/port-validation.ts";
import { forbidden, invalid, notSupportedInOrder, required } from "../machinery/causes.ts";
import { checkCidr, isStrictSubset, parseCidr } from "../machinery/cidr.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { allButMetadata } from "../machinery/generation.ts";
import { selectorOf, validateLabelSelector } from "../machinery/label-selector.ts";
import { checkPort, checkPortName } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { formatSelector } from "../machinery/selectors.ts";

const policyTypes = ["Ingress", "Egress"];

/** Absent is allowed. */
function oneOf(value: string | undefined, supported: readonly string[], at: string): FieldCause[] {
  if (value === undefined || supported.includes(value)) return [];
  return [notSupportedInOrder(at, value, supported)];
}

const specOf = (document: Document): NetworkPolicySpec => (document as NetworkPolicy).spec ?? {};

export const networkPolicy = defineKind({
  message: "trireme.networking.v1.NetworkPolicy",
  codec: NetworkPolicy,
  service: NetworkPoliciesService,
  shortNames: ["netpol"],

  setDefaults(document) {
    const policy = document as NetworkPolicy;
    policy.spec ??= {};
    const { spec } = policy;
    spec.podSelector ??= {};
    if ((spec.policyTypes ?? []).length === 0) {
      spec.policyTypes = (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
    }
    for (const { ports = [] } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of ports) port.protocol ??= "TCP";
    }
  },
  desiredState: allButMetadata,
  validate(document) {
    const {
      podSelector = {},
      ingress = [],
      egress = [],
      policyTypes: types = [],
    } = specOf(document);
    const causes = validateLabelSelector(podSelector, "spec.podSelector");
    ingress.forEach(({ ports = [], from = [] }, index) => {
      causes.push(...validateRule(ports, from, `spec.ingress[${index}]`, "from"));
    });
    egress.forEach(({ ports = [], to = [] }, index) => {
      causes.push(...validateRule(ports, to, `spec.egress[${index}]`, "to"));
    });
    if (types.length > policyTypes.length) {
      const detail = "may not specify more than two policyTypes";
      return [...causes, invalid("spec.policyTypes", types, detail)];
    }
    return [
      ...causes,
      ...types.flatMap((type, index) => oneOf(type, policyTypes, `spec.policyTypes[${index}]`)),
    ];
  },
  columns: [
    nameColumn,
    {
      name: "Pod-Selector",
      value: (document) => formatSelector(selectorOf(specOf(document).podSelector)) || "<none>",
    },
    ageColumn,
  ],
});

function validateRule(
  ports: readonly NetworkPolicyPort[],
  peers: readonly NetworkPolicyPeer[],
  at: string,
  name: "from" | "to",
): FieldCause[] {
  return [
    ...ports.flatMap((port, index) => validatePort(port, `${at}.ports[${index}]`)),
    ...peers.flatMap((peer, index) => validatePeer(peer, `${at}.${name}[${index}]`)),
  ];
}

function validatePort(one: NetworkPolicyPort, at: string): FieldCause[] {
  const { protocol, endPort } = one;
  const port: unknown = one.port;
  const causes = oneOf(protocol, protocols, `${at}.protocol`);
  const end = `${at}.endPort`;
  if (port === undefined) {
    if (endPort === undefined) return causes;
    const detail = "may not be specified when `port` is not specified";
    return [...causes, invalid(end, endPort, detail)];
  }
  if (typeof port === "number") {
    causes.push(...wrong(`${at}.port`, port, checkPort(port)));
    if (endPort === undefined) return causes;
    // The value that the message shows is upstream's.
    if (endPort < port) causes.push(invalid(end, port, "must be greater than or equal to `port`"));
    return [...causes, ...wrong(end, endPort, checkPort(endPort))];
  }
  if (endPort !== undefined) {
    causes.push(invalid(end, endPort, "may not be specified when `port` is non-numeric"));
  }
  const name = typeof port === "string" ? port : JSON.stringify(port);
  return [...causes, ...wrong(`${at}.port`, name, checkPortName(name))];
}

function validatePeer(peer: NetworkPolicyPeer, at: string): FieldCause[] {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  const causes: FieldCause[] = [];
  for (const [name, selector] of Object.entries({ podSelector, namespaceSelector })) {
    if (selector !== undefined) causes.push(...validateLabelSelector(selector, `${at}.${name}`));
  }
  const selects = podSelector !== undefined || namespaceSelector !== undefined;
  if (ipBlock === undefined) {
    return selects ? causes : [required(at, "must specify a peer")];
  }
  causes.push(...validateBlock(ipBlock, `${at}.ipBlock`));
  if (!selects) return causes;
  return [...causes, forbidden(at, "may not specify both ipBlock and another peer")];
}

function validateBlock({ cidr = "", except = [] }: IPBlock, at: string): FieldCause[] {
  if (cidr === "") return [required(`${at}.cidr`)];
  const causes = wrong(`${at}.cidr`, cidr, checkCidr(cidr));
  const outer = parseCidr(cidr);
  if (outer === undefined) return causes;
  except.forEach((text, index) => {
    const field = `${at}.except[${index}]`;
    const inner = parseCidr(text);
    if (inner === undefined) causes.push(...wrong(field, text, checkCidr(text)));
    else if (!isStrictSubset(inner, outer)) {
      causes.push(invalid(field, text, "must be a strict subset of `cidr`"));
    }
  });
  return causes;
}
