/** What a request asks for, apart from the wire on which it came. */

/** Who sends a request, as the authenticators have found. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
  readonly uid?: string | undefined;
  /** What else authenticators know, e.g. `authentication.kubernetes.io/pod-name`. */
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Who acts in this user's name, for the audit log. */
  readonly impersonatedBy?: User | undefined;
}

/** In the words of upstream's `RequestInfo`; made by a face, read by the chains and the verbs. */
export interface RequestInfo {
  readonly user: User;
  /** get, list, watch, create, update, patch, delete, deletecollection; of a path: get. */
  readonly verb: string;
  /** "" is the core group. */
  readonly group: string;
  /** Plural name; "" when the request is about a path. */
  readonly resource: string;
  /** E.g. `status`; "" is the object itself. */
  readonly subresource: string;
  /** "": cluster-scoped, or all namespaces. */
  readonly namespace: string;
  /** "": not about one named object. */
  readonly name: string;
  /** Of a list or watch. */
  readonly fieldSelector: string;
  /** Of a request that is about no resource, e.g. `/version`; otherwise "". */
  readonly path: string;
}

/** A request that is about no resource. */
export function pathInfo(user: User, path: string, verb = "get"): RequestInfo {
  const none = { group: "", resource: "", subresource: "", namespace: "", name: "" };
  return { user, verb, ...none, fieldSelector: "", path };
}
