/** The roles and bindings inside the system's namespaces. */
import {
  type BindingEntry,
  binding,
  type RoleEntry,
  read,
  recordEvents,
  rule,
  subject,
} from "./notation.ts";

interface Placed {
  readonly namespace: string;
}

const system = "kube-system";
const visible = "kube-public";
const authentication = "extension-apiserver-authentication";
const signer = "system:controller:bootstrap-signer";
const cloud = "system:controller:cloud-provider";
const cleaner = "system:controller:token-cleaner";
const elected = ["kube-controller-manager", "kube-scheduler"];
const locking = (component: string) => `system::leader-locking-${component}`;

export const namespaceRoles: readonly (RoleEntry & Placed)[] = [
  {
    namespace: system,
    name: `${authentication}-reader`,
    rules: [rule(read, "core", "configmaps", authentication)],
  },
  { namespace: system, name: signer, rules: [rule(read, "core", "secrets")] },
  {
    namespace: system,
    name: cloud,
    rules: [rule("create get list watch", "core", "configmaps")],
  },
  {
    namespace: system,
    name: cleaner,
    rules: [rule("delete get list watch", "core", "secrets"), recordEvents],
  },
  ...elected.map((component) => ({
    namespace: system,
    name: locking(component),
    rules: [
      rule("watch", "core", "configmaps"),
      rule("get update", "core", "configmaps", component),
    ],
  })),
  {
    namespace: visible,
    name: signer,
    rules: [
      rule(read, "core", "configmaps"),
      rule("update", "core", "configmaps", "cluster-info"),
      recordEvents,
    ],
  },
];

const account = (name: string) => subject("ServiceAccount", `${system}/${name}`);
const user = (component: string) => subject("User", `system:${component}`);

export const namespaceBindings: readonly (BindingEntry & Placed)[] = [
  {
    namespace: system,
    ...binding(
      `system::${authentication}-reader`,
      `Role ${authentication}-reader`,
      ...elected.map(user),
    ),
  },
  ...elected.map((component) => ({
    namespace: system,
    ...binding(
      locking(component),
      `Role ${locking(component)}`,
      user(component),
      account(component),
    ),
  })),
  { namespace: system, ...binding(signer, `Role ${signer}`, account("bootstrap-signer")) },
  { namespace: system, ...binding(cloud, `Role ${cloud}`, account("cloud-provider")) },
  { namespace: system, ...binding(cleaner, `Role ${cleaner}`, account("token-cleaner")) },
  { namespace: visible, ...binding(signer, `Role ${signer}`, account("bootstrap-signer")) },
];
