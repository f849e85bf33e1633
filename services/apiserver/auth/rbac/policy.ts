/**
 * All roles and bindings as the watch cache has them, indexed by subject, so that a decision looks
 * only at what is bound to the user and its groups.
 */
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  RoleBinding,
  RoleRef,
  Subject,
} from "../../../../proto/gen/rbac.ts";
import type { Document, Registry } from "../../../kinds/mod.ts";
import type { User } from "../../request-info.ts";
import type { WatchCache } from "../../storage/watch-cache.ts";
import { ReadyRole } from "./rule.ts";

const version = "rbac.authorization.k8s.io/v1";

/** One subject of one binding. */
export interface Grant {
  readonly kind: "ClusterRoleBinding" | "RoleBinding";
  readonly name: string;
  /** Of a RoleBinding; "" of a ClusterRoleBinding. */
  readonly namespace: string;
  readonly roleRef: RoleRef;
  readonly subject: Subject;
}

/** Told the roles that a user has, grant by grant, until it answers true. */
export type RuleVisitor = (grant: Grant, role: ReadyRole) => boolean;

/** What of a stored object an index needs. */
interface Named {
  readonly namespace: string;
  readonly name: string;
  readonly document: Document;
}

interface Follower {
  added(object: Named): void;
  removed(object: Named): void;
}

type BySubject = Map<string, Map<string, Grant[]>>;

export class RbacPolicy {
  /**
   * False while this master starts: roles may not have been read, or not been made, yet, so that
   * what they do not allow may still be allowed in a moment.
   */
  complete = false;
  readonly #clusterRoles = new Map<string, ReadyRole>();
  /** By `namespace/name`. */
  readonly #roles = new Map<string, ReadyRole>();
  readonly #clusterGrants: BySubject = new Map();
  /** By namespace. */
  readonly #grants = new Map<string, BySubject>();

  /** Follows the cache from now on. */
  static of(registry: Registry, cache: WatchCache): RbacPolicy {
    const policy = new RbacPolicy();
    for (const kind of ["ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"]) {
      cache.of(registry.required(version, kind)).observe(policy.#followerOf(kind));
    }
    return policy;
  }

  /** Holds these objects and no others, for a program that has no store of them. */
  static holding(documents: readonly Document[]): RbacPolicy {
    const policy = new RbacPolicy();
    for (const document of documents) {
      const { name = "", namespace = "" } = document.metadata ?? {};
      policy.#followerOf(document.kind ?? "").added({ name, namespace, document });
    }
    policy.complete = true;
    return policy;
  }

  /**
   * What the user's grants allow: in the whole cluster, then in the namespace unless it is "".
   * Grants of roles that do not exist are noted in `missing`, as upstream words it.
   */
  visit(user: User, namespace: string, visitor: RuleVisitor, missing?: string[]): void {
    if (this.#visitOf(this.#clusterGrants, user, visitor, missing) || namespace === "") return;
    const inNamespace = this.#grants.get(namespace);
    if (inNamespace !== undefined) this.#visitOf(inNamespace, user, visitor, missing);
  }

  /** Every rule the user has, for rights that are granted on. */
  rulesOf(user: User, namespace: string): PolicyRule[] {
    const found: PolicyRule[] = [];
    this.visit(user, namespace, (_grant, role) => {
      found.push(...role.rules);
      return false;
    });
    return found;
  }

  /** The role that a binding in the namespace refers to; undefined: there is none. */
  roleOf(roleRef: RoleRef, namespace: string): ReadyRole | undefined {
    const { kind = "", name = "" } = roleRef;
    return kind === "Role" ? this.#roles.get(`${namespace}/${name}`) : this.#clusterRoles.get(name);
  }

  #visitOf(
    grants: BySubject,
    user: User,
    visitor: RuleVisitor,
    missing: string[] | undefined,
  ): boolean {
    const visit = (key: string): boolean => {
      for (const each of grants.get(key)?.values() ?? []) {
        for (const grant of each) {
          const role = this.roleOf(grant.roleRef, grant.namespace);
          if (role === undefined) missing?.push(notFoundText(grant.roleRef));
          else if (visitor(grant, role)) return true;
        }
      }
      return false;
    };
    if (visit(`User ${user.name}`)) return true;
    for (const group of user.groups) if (visit(`Group ${group}`)) return true;
    return false;
  }

  #followerOf(kind: string): Follower {
    if (kind === "ClusterRole") return this.#rolesIn(this.#clusterRoles);
    if (kind === "Role") return this.#rolesIn(this.#roles);
    return this.#bindings(kind === "RoleBinding" ? kind : "ClusterRoleBinding");
  }

  #rolesIn(roles: Map<string, ReadyRole>): Follower {
    const keyOf = ({ namespace, name }: Named) => {
      return namespace === "" ? name : `${namespace}/${name}`;
    };
    return {
      added: (object) => {
        const { rules = [] } = documentOf<ClusterRole>(object) ?? {};
        roles.set(keyOf(object), new ReadyRole(rules));
      },
      removed: (object) => roles.delete(keyOf(object)),
    };
  }

  #bindings(kind: Grant["kind"]): Follower {
    const each = (object: Named, take: (grants: BySubject, grant: Grant) => void) => {
      const { namespace, name } = object;
      const binding = documentOf<RoleBinding | ClusterRoleBinding>(object);
      const { subjects = [], roleRef = {} } = binding ?? {};
      const grants = kind === "RoleBinding" ? this.#grantsIn(namespace) : this.#clusterGrants;
      for (const subject of subjects) take(grants, { kind, name, namespace, roleRef, subject });
      if (grants.size === 0) this.#grants.delete(namespace);
    };
    return {
      added: (object) =>
        each(object, (grants, grant) => {
          const key = subjectKey(grant.subject, grant.namespace);
          const bindings = grants.get(key) ?? new Map<string, Grant[]>();
          grants.set(key, bindings);
          bindings.set(grant.name, [...(bindings.get(grant.name) ?? []), grant]);
        }),
      removed: (object) =>
        each(object, (grants, grant) => {
          const key = subjectKey(grant.subject, grant.namespace);
          const bindings = grants.get(key);
          bindings?.delete(grant.name);
          if (bindings?.size === 0) grants.delete(key);
        }),
    };
  }

  #grantsIn(namespace: string): BySubject {
    let grants = this.#grants.get(namespace);
    if (grants === undefined) {
      grants = new Map();
      this.#grants.set(namespace, grants);
    }
    return grants;
  }
}

/** A service account without a namespace is one of the binding's own. */
function subjectKey(subject: Subject, namespace: string): string {
  const { kind = "", name = "" } = subject;
  if (kind !== "ServiceAccount") return `${kind} ${name}`;
  return `User ${serviceAccountUser(subject.namespace || namespace, name)}`;
}

export function serviceAccountUser(namespace: string, name: string): string {
  return `system:serviceaccount:${namespace}:${name}`;
}

function notFoundText({ kind = "", name = "" }: RoleRef): string {
  return `${kind.toLowerCase()}.rbac.authorization.k8s.io "${name}" not found`;
}

/** An object that cannot be read grants nothing; reading it tells what is wrong with it. */
function documentOf<T>(object: Named): T | undefined {
  try {
    return object.document as T;
  } catch (thrown) {
    if (thrown instanceof StatusError) return undefined;
    throw thrown;
  }
}
