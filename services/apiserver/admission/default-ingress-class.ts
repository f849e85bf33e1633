import type { Ingress, IngressClass } from "../../../proto/gen/networking.ts";
import type { AdmissionPlugin } from "./chain.ts";
import { newestFirst } from "./newest-first.ts";

const defaultAnnotation = "ingressclass.kubernetes.io/is-default-class";
/** The annotation by which ingresses named their class before there was a field. */
const classAnnotation = "kubernetes.io/ingress.class";

const noEffect = "without an ingress controller the object has no effect";

function defaultOf(classes: readonly IngressClass[]): string | undefined {
  const [first] = classes
    .filter(({ metadata }) => metadata?.annotations?.[defaultAnnotation] === "true")
    .sort(newestFirst);
  return first?.metadata?.name;
}

/**
 * A new ingress that names no class gets the default one (upstream's DefaultIngressClass); of
 * several, the one that was made last.
 */
export function defaultIngressClass(classes: () => Iterable<IngressClass>): AdmissionPlugin {
  return {
    name: "default-ingress-class",
    resources: ["ingresses.networking.k8s.io"],
    operations: ["create"],
    mutate({ document, subresource, warnings }) {
      const ingress = document as Ingress;
      if (subresource !== "") return;
      const all = [...classes()];
      const asked =
        ingress.spec?.ingressClassName ?? ingress.metadata?.annotations?.[classAnnotation];
      const name = asked ?? defaultOf(all);
      if (name === undefined) {
        warnings.push(`spec.ingressClassName: there is no default class, ${noEffect}`);
        return;
      }
      if (asked === undefined) ingress.spec = { ...ingress.spec, ingressClassName: name };
      if (all.some(({ metadata }) => metadata?.name === name)) return;
      warnings.push(
        `spec.ingressClassName: there is no class ${JSON.stringify(name)}, ${noEffect}`,
      );
    },
  };
}
