/** The subresource `token` of service accounts (upstream `registry/core/serviceaccount/storage`). */

import type {
  BoundObjectReference,
  Pod,
  TokenRequest,
  TokenRequestSpec,
} from "../../../proto/gen/core.ts";
import { canonicalJson } from "../../kinds/machinery/json.ts";
import { invalid as invalidCause, type Resource, rfc3339Seconds } from "../../kinds/mod.ts";
import { serviceAccountUser } from "../auth/rbac/policy.ts";
import { badRequest, conflict, invalid, methodNotAllowed, notFound } from "../errors.ts";
import { fetchObject } from "../storage/fetch.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";

const secondsMin = 600;
const secondsMax = 2 ** 32;
const secondsDefault = 3_600;
/**
 * What kubelets ask for when the pod does not say how long: such a token is given a year, so that programs
 * that never read it anew go on, and says when it should have been renewed.
 */
const extendable = { askedSeconds: 3_607, givenSeconds: 365 * 86_400 };

interface Bound {
  readonly name: string;
  readonly uid: string;
}

/** Throws NotFound (of the account or the bound object), Invalid, BadRequest, Conflict. */
export async function createToken(
  backend: Backend,
  call: Call,
  accounts: Resource,
  request: TokenRequest,
): Promise<TokenRequest> {
  const { metadata = {}, spec = {} } = request;
  const name = nameOf(metadata.name);
  const namespace = namespaceOf(accounts, metadata.namespace);
  const target = { verb: "create", resource: accounts, subresource: "token", namespace, name };
  return run(backend, call, target, [canonicalJson(request)], async () => {
    const tokens = backend.serviceAccountTokens;
    if (tokens === undefined || !tokens.makesTokens) {
      throw methodNotAllowed("this apiserver has no key to sign tokens with");
    }
    const audiences = spec.audiences?.length ? spec.audiences : [...tokens.audiences];
    const asked = checkedSeconds(name, spec);
    const seconds = Math.min(asked, tokens.maxExpirationSeconds ?? asked);
    const account = await found(backend, accounts, namespace, name);
    await backend.admission.validate({
      ...{ user: call.user, operation: "create", resource: accounts, subresource: "token" },
      ...{ namespace, name, document: { ...request }, stored: undefined, dryRun: false },
      ...{ warnings: call.warnings, notes: new Map(), annotate: call.audit?.annotate },
      traced: call,
    });
    const bound = await boundTo(backend, namespace, name, spec.boundObjectRef);
    const nowSeconds = Math.floor(backend.now() / 1000);
    const extended =
      asked === extendable.askedSeconds &&
      tokens.maxExpirationSeconds === undefined &&
      audiences.every((each) => tokens.audiences.includes(each));
    const token = tokens.sign({
      aud: audiences,
      exp: nowSeconds + (extended ? extendable.givenSeconds : seconds),
      iat: nowSeconds,
      nbf: nowSeconds,
      jti: backend.newUid(),
      sub: serviceAccountUser(namespace, name),
      "kubernetes.io": {
        namespace,
        ...bound,
        serviceaccount: { name, uid: uidOf(account) },
        ...(extended && { warnafter: nowSeconds + seconds }),
      },
    });
    const { creationTimestamp = rfc3339Seconds(backend.now()) } = metadata;
    return {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: { ...metadata, name, namespace, creationTimestamp },
      spec: { ...spec, audiences, expirationSeconds: seconds },
      status: { token, expirationTimestamp: rfc3339Seconds(1000 * (nowSeconds + seconds)) },
    };
  });
}

function checkedSeconds(name: string, { expirationSeconds }: TokenRequestSpec): number {
  const seconds = expirationSeconds ?? secondsDefault;
  const detail =
    seconds < secondsMin
      ? "may not specify a duration less than 10 minutes"
      : "may not specify a duration larger than 2^32 seconds";
  if (seconds >= secondsMin && seconds <= secondsMax) return seconds;
  const kind = { group: "authentication.k8s.io", kind: "TokenRequest" };
  throw invalid(kind, name, [invalidCause("spec.expirationSeconds", seconds, detail)]);
}

/** The claims about the object that the token is bound to. */
async function boundTo(
  backend: Backend,
  namespace: string,
  account: string,
  reference: BoundObjectReference | undefined,
): Promise<Readonly<Record<string, Bound>>> {
  if (reference === undefined) return {};
  const { apiVersion = "", kind = "", name: given } = reference;
  const bindable = apiVersion === "v1" && ["Pod", "Secret", "Node"].includes(kind);
  if (!bindable) {
    const slash = apiVersion.includes("/") ? apiVersion : `/${apiVersion}`;
    throw badRequest(
      `cannot bind token for serviceaccount "${account}" to object of type ${slash}, Kind=${kind}`,
    );
  }
  const resource = backend.registry.required("v1", kind);
  const name = nameOf(given);
  const object = await found(backend, resource, resource.namespaced ? namespace : "", name);
  const uid = uidOf(object);
  if (reference.uid !== undefined && reference.uid !== "" && reference.uid !== uid) {
    throw conflict(
      resource,
      name,
      `the UID in the bound object reference (${reference.uid}) does not match the UID in record. ` +
        "The object might have been deleted and then recreated",
    );
  }
  const { spec = {} } = object.document as Pod;
  if (kind !== "Pod") return { [kind.toLowerCase()]: { name, uid } };
  if (spec.serviceAccountName !== account) {
    throw badRequest(
      `cannot bind token for serviceaccount "${account}" to pod running with different ` +
        "serviceaccount name.",
    );
  }
  const node = spec.nodeName ? await nodeOf(backend, spec.nodeName) : undefined;
  return { ...(node && { node }), pod: { name, uid } };
}

async function nodeOf(backend: Backend, name: string): Promise<Bound | undefined> {
  const nodes = backend.registry.required("v1", "Node");
  const node = await fetched(backend, nodes, objectKey(nodes, "", name));
  return node && { name, uid: uidOf(node) };
}

async function found(
  backend: Backend,
  resource: Resource,
  namespace: string,
  name: string,
): Promise<StoredObject> {
  const object = await fetched(backend, resource, objectKey(resource, namespace, name));
  if (object === undefined) throw notFound(resource, name);
  return object;
}

async function fetched(backend: Backend, resource: Resource, key: string) {
  return backend.cache.of(resource).get(key) ?? fetchObject(backend, resource, key);
}

function uidOf(object: StoredObject): string {
  return object.document.metadata?.uid ?? "";
}
