import type { Ingress, IngressClass } from "../../../proto/gen/networking.ts";
import type { AdmissionPlugin } from "./chain.ts";
import { newestFirst } from "./newest-first.ts";

const defaultAnnotation = "ingressclass.kubernetes.io/is-default-class";
/** The annotation by which ingresses named their class before there was a field. */
const classAnnotation = "kubernetes.io/ingress.class";

/**
 * A new ingress that names no class gets the default one (upstream's DefaultIngressClass); of
 * several, the one that was made last.
 */
export function defaultIngressClass(classes: () => Iterable<IngressClass>): AdmissionPlugin {
  return {
    name: "default-ingress-class",
    resources: ["ingresses.networking.k8s.io"],
    operations: ["create"],
    mutate({ document, subresource }) {
      const ingress = document as Ingress;
      if (subresource !== "" || ingress.spec?.ingressClassName !== undefined) return;
      if (ingress.metadata?.annotations?.[classAnnotation] !== undefined) return;
      const [first] = [...classes()]
        .filter(({ metadata }) => metadata?.annotations?.[defaultAnnotation] === "true")
        .sort(newestFirst);
      const name = first?.metadata?.name;
      if (name !== undefined) ingress.spec = { ...ingress.spec, ingressClassName: name };
    },
  };
}
