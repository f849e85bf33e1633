/** The roles and bindings that every cluster has (upstream `rbac/bootstrappolicy`). */
import type { Document } from "../../../../kinds/mod.ts";
import { componentRoles, triremeRoles } from "./component-roles.ts";
import { controllerRolePrefix, controllerRoles } from "./controller-roles.ts";
import { namespaceBindings, namespaceRoles } from "./namespace-roles.ts";
import { type BindingEntry, binding, bindingDocument, roleDocument, subject } from "./notation.ts";
import { userRoles } from "./user-roles.ts";

export { autoUpdate } from "./notation.ts";

const group = (name: string) => subject("Group", name);
const user = (name: string) => subject("User", name);
const authenticated = group("system:authenticated");
const unauthenticated = group("system:unauthenticated");
const scheduler = user("system:kube-scheduler");
const controllerManager = user("system:kube-controller-manager");

/** Named after their role. */
const subjects: Readonly<Record<string, readonly ReturnType<typeof subject>[]>> = {
  "cluster-admin": [group("system:masters")],
  "system:monitoring": [group("system:monitoring")],
  "system:discovery": [authenticated],
  "system:basic-user": [authenticated],
  "system:public-info-viewer": [authenticated, unauthenticated],
  "system:node-proxier": [user("system:kube-proxy")],
  "system:kube-controller-manager": [controllerManager],
  "system:kube-dns": [subject("ServiceAccount", "kube-system/kube-dns")],
  "system:kube-scheduler": [scheduler],
  "system:volume-scheduler": [scheduler],
  "system:service-account-issuer-discovery": [group("system:serviceaccounts")],
  // No subjects: nodes have the Node authorizer.
  "system:node": [],
  "trireme:kube-scheduler": [scheduler],
  "trireme:kube-controller-manager": [controllerManager],
  "trireme:ingress": [user("trireme:ingress")],
  "trireme:kube-proxy": [user("system:kube-proxy")],
  "trireme:cluster-status": [authenticated],
};

const clusterBindings: readonly BindingEntry[] = [
  ...Object.entries(subjects).map(([name, list]) => binding(name, `ClusterRole ${name}`, ...list)),
  ...controllerRoles.map(({ name }) => {
    const account = `kube-system/${name.slice(controllerRolePrefix.length)}`;
    return binding(name, `ClusterRole ${name}`, subject("ServiceAccount", account));
  }),
];

/** Roles come before the bindings that name them. */
export function bootstrapPolicy(): { readonly roles: Document[]; readonly bindings: Document[] } {
  const clusterRoles = [...userRoles, ...componentRoles, ...controllerRoles, ...triremeRoles];
  const within = (namespace: string, document: Document): Document => {
    return { ...document, metadata: { ...document.metadata, namespace } };
  };
  return {
    roles: [
      ...clusterRoles.map((entry) => roleDocument("ClusterRole", entry)),
      ...namespaceRoles.map(({ namespace, ...entry }) =>
        within(namespace, roleDocument("Role", entry)),
      ),
    ],
    bindings: [
      ...clusterBindings.map((entry) => bindingDocument("ClusterRoleBinding", entry)),
      ...namespaceBindings.map(({ namespace, ...entry }) =>
        within(namespace, bindingDocument("RoleBinding", entry)),
      ),
    ],
  };
}
