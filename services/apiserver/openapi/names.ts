/** The names of schemas, which generators of clients and `kubectl` expect to be upstream's. */
import { apiVersionOf, type Resource } from "../../kinds/mod.ts";

/** Packages whose schemas upstream keeps elsewhere than in `io.k8s.api.<group>`. */
const packages: Readonly<Record<string, string>> = {
  "trireme.meta.v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
  "trireme.apiextensions.v1": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
  "trireme.apiregistration.v1": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
  "trireme.metrics.v1beta1": "io.k8s.metrics.pkg.apis.metrics.v1beta1",
};

/** E.g. `io.k8s.api.apps.v1.Deployment` for `trireme.apps.v1.Deployment`. */
export function nameOfMessage(message: string): string {
  const dot = message.lastIndexOf(".");
  const owner = message.slice(0, dot);
  const known = packages[owner] ?? owner.replace(/^trireme\./, "io.k8s.api.");
  return `${known}.${message.slice(dot + 1)}`;
}

/** E.g. `com.example.stable.v1.CronTab` for CronTab of stable.example.com/v1. */
export function nameOfCustom({ group, version, kind }: Resource): string {
  return [...group.split(".").reverse(), version, kind].join(".");
}

/** Of the document that describes the group and version: `api/v1`, `apis/apps/v1`. */
export function documentPath(resource: Resource): string {
  return `${resource.group === "" ? "api" : "apis"}/${apiVersionOf(resource)}`;
}
