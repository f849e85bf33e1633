/** What becomes of the fields of the group networking.k8s.io's kinds. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const controller = "an ingress controller that runs in the cluster as a client";
const plugin = "a network plugin that runs in the cluster as a client";
const information = "information for clients";
const status = "information that its owner writes and clients show";

export const networkingFields: SupportTable = {
  "trireme.networking.v1.Ingress": {
    ...behaves(address, "apiVersion metadata"),
    ...behaves("the apiserver: type, name and metadata of an object", "kind"),
    ...behaves(controller, "spec status"),
  },
  "trireme.networking.v1.IngressSpec": behaves(
    controller,
    "ingressClassName defaultBackend tls rules",
  ),
  "trireme.networking.v1.IngressBackend": behaves(controller, "service resource"),
  "trireme.core.v1.TypedLocalObjectReference": behaves(information, "apiGroup kind name"),
  "trireme.networking.v1.IngressServiceBackend": behaves(controller, "name port"),
  "trireme.networking.v1.ServiceBackendPort": behaves(controller, "name number"),
  "trireme.networking.v1.IngressTLS": behaves(controller, "hosts secretName"),
  "trireme.networking.v1.IngressRule": behaves(controller, "host http"),
  "trireme.networking.v1.HTTPIngressRuleValue": behaves(controller, "paths"),
  "trireme.networking.v1.HTTPIngressPath": behaves(controller, "path pathType backend"),
  "trireme.networking.v1.IngressStatus": behaves(status, "loadBalancer"),
  "trireme.networking.v1.IngressLoadBalancerStatus": behaves(status, "ingress"),
  "trireme.networking.v1.IngressLoadBalancerIngress": behaves(status, "ip hostname ports"),
  "trireme.networking.v1.IngressPortStatus": behaves(status, "port protocol error"),

  "trireme.networking.v1.IngressClass": {
    ...behaves(address, "apiVersion metadata"),
    ...behaves("the apiserver: type, name and metadata of an object", "kind"),
    ...behaves(controller, "spec"),
  },
  "trireme.networking.v1.IngressClassSpec": behaves(controller, "controller parameters"),
  "trireme.networking.v1.IngressClassParametersReference": behaves(
    controller,
    "apiGroup kind name scope namespace",
  ),

  "trireme.networking.v1.NetworkPolicy": {
    ...behaves(address, "apiVersion metadata"),
    ...warned("kind", "only nodes whose kube-proxy works by nftables restrict traffic by it"),
    ...behaves(plugin, "spec"),
  },
  "trireme.networking.v1.NetworkPolicySpec": behaves(
    plugin,
    "podSelector ingress egress policyTypes",
  ),
  "trireme.networking.v1.NetworkPolicyIngressRule": behaves(plugin, "ports from"),
  "trireme.networking.v1.NetworkPolicyEgressRule": behaves(plugin, "ports to"),
  "trireme.networking.v1.NetworkPolicyPort": behaves(plugin, "protocol port endPort"),
  "trireme.networking.v1.NetworkPolicyPeer": behaves(
    plugin,
    "podSelector namespaceSelector ipBlock",
  ),
  "trireme.networking.v1.IPBlock": behaves(plugin, "cidr except"),

  "trireme.networking.v1.IPAddress": {
    ...behaves(address, "apiVersion metadata"),
    ...warned("kind", "services get their addresses without such objects, it reserves nothing"),
    ...behaves(information, "spec"),
  },
  "trireme.networking.v1.IPAddressSpec": behaves(information, "parentRef"),
  "trireme.networking.v1.ParentReference": behaves(information, "group resource namespace name"),

  "trireme.networking.v1.ServiceCIDR": {
    ...behaves(address, "apiVersion metadata"),
    ...warned(
      "kind",
      "services get addresses of the range that the cluster was started with alone, " +
        "the object adds none",
    ),
    ...behaves(information, "spec status"),
  },
  "trireme.networking.v1.ServiceCIDRSpec": behaves(information, "cidrs"),
  "trireme.networking.v1.ServiceCIDRStatus": behaves(status, "conditions"),
};
