/**
 * How a machine that joins finds the cluster and knows that it is the right one: `cluster-info`,
 * the pin of the CA's public key, and the token's signature (as kubeadm's token discovery).
 */
import { createHash, createHmac, timingSafeEqual, X509Certificate } from "node:crypto";
import { parse } from "yaml";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { ask, type RestAnswer } from "./rest.ts";

export interface DiscoveryOptions {
  /** `host:port` of the REST API. */
  readonly server: string;
  /** `ID.SECRET`. */
  readonly token: string;
  /** `sha256:…` of the CA's public key; any of them may match. */
  readonly caHashes: readonly string[];
  /** Without a pin the token's signature alone vouches for the CA. */
  readonly skipCaVerification: boolean;
}

export interface Discovered {
  /** PEM. */
  readonly ca: string;
  /** `host:port` of the gRPC API. */
  readonly grpcEndpoints: readonly string[];
  /** `host:port` where members of the store are added; none: no master can join. */
  readonly etcdEndpoints: readonly string[];
  /** Flags that are the same for all masters. */
  readonly masterFlags: readonly string[];
  /** The same of the controller managers beside them. */
  readonly controllerManagerFlags: readonly string[];
  /** The address from which this machine has reached the cluster. */
  readonly localAddress: string;
}

const infoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
const configPath = "/api/v1/namespaces/kube-system/configmaps/trireme-config";
const tokenForm = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const hashForm = /^sha256:[0-9a-f]{64}$/;
/** The controller that signs needs a moment after a token has been made. */
const signatureMillisMax = 10_000;
const lookMillis = 200;

/** Rejects with a StatusError that says what cannot be trusted, reached or used. */
export async function discover(options: DiscoveryOptions): Promise<Discovered> {
  const { server, token, caHashes, skipCaVerification } = options;
  const [, id = "", proof = ""] = tokenForm.exec(token) ?? [];
  if (id === "") {
    throw invalid("--token: must be six and sixteen of a-z and 0-9, joined by a dot");
  }
  const flag = "--discovery-token-ca-cert-hash";
  const wrong = caHashes.find((hash) => !hashForm.test(hash));
  if (wrong !== undefined) throw invalid(`${flag} ${wrong}: sha256: and 64 hex digits are wanted`);
  if (caHashes.length === 0 && !skipCaVerification) {
    throw invalid(`${flag} is needed, or --discovery-token-unsafe-skip-ca-verification`);
  }
  const deadline = performance.now() + signatureMillisMax;
  for (;;) {
    const info = await clusterInfo(server, undefined);
    const ca = authorityOf(server, info);
    if (caHashes.length > 0) checkPin(ca, caHashes);
    const signature = info[`jws-kubeconfig-${id}`];
    if (signature !== undefined) {
      checkSignature(info["kubeconfig"] ?? "", signature, { id, proof });
      // What was read before the CA was known must be what the CA's servers say.
      const again = await clusterInfo(server, ca);
      if (again["kubeconfig"] !== info["kubeconfig"]) {
        throw untrusted(`${server} gives another cluster-info to who knows its CA`);
      }
      return { ca, ...(await configuration(server, ca, token)) };
    }
    // The token is not shown to a server whose CA is not pinned.
    if (caHashes.length === 0) throw unknownToken(id, "cluster-info has no signature by it");
    await configuration(server, ca, token);
    if (performance.now() > deadline) {
      const text = `cluster-info is not signed by token ${id}: has it the usage "signing", and does a controller-manager run?`;
      throw new StatusError(Code.failedPrecondition, text);
    }
    await new Promise((resolve) => setTimeout(resolve, lookMillis));
  }
}

/** `sha256:` and the digest of the certificate's public key, as kubeadm pins it. */
export function publicKeyPin(pem: string): string {
  const key = new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(key).digest("hex")}`;
}

type Data = Readonly<Record<string, string>>;

async function clusterInfo(server: string, ca: string | undefined): Promise<Data> {
  const answer = await ask({ server, path: infoPath, ca });
  if (answer.status !== 200) {
    const text = `${server} has no ConfigMap cluster-info for machines that join: ${answer.message}`;
    throw new StatusError(Code.failedPrecondition, text);
  }
  return dataOf(answer);
}

function dataOf({ document }: RestAnswer): Data {
  const { data = {} } = document as { data?: Record<string, unknown> };
  return Object.fromEntries(
    Object.entries(data).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

interface Kubeconfig {
  readonly clusters?: readonly {
    readonly cluster?: { readonly "certificate-authority-data"?: string };
  }[];
}

function authorityOf(server: string, info: Data): string {
  try {
    const config = parse(info["kubeconfig"] ?? "") as Kubeconfig | null;
    const data = config?.clusters?.[0]?.cluster?.["certificate-authority-data"] ?? "";
    const pem = Buffer.from(data, "base64").toString("latin1");
    new X509Certificate(pem);
    return pem;
  } catch (cause) {
    const text = `the cluster-info of ${server} holds no kubeconfig with a CA certificate`;
    throw new StatusError(Code.failedPrecondition, text, undefined, { cause });
  }
}

function checkPin(ca: string, hashes: readonly string[]): void {
  const pin = publicKeyPin(ca);
  if (hashes.includes(pin)) return;
  throw untrusted(
    `the cluster's CA is not the pinned one: its public key is ${pin}, and ` +
      `--discovery-token-ca-cert-hash says ${hashes.join(" or ")}`,
  );
}

/** A JSON web signature without its payload (RFC 7515, appendix F). */
function checkSignature(
  payload: string,
  signature: string,
  token: { readonly id: string; readonly proof: string },
): void {
  const [header = "", none, given = "", ...more] = signature.split(".");
  const body = Buffer.from(payload).toString("base64url");
  const expected = createHmac("sha256", token.proof).update(`${header}.${body}`).digest();
  const bytes = Buffer.from(given, "base64url");
  const same = bytes.length === expected.length && timingSafeEqual(bytes, expected);
  if (none === "" && more.length === 0 && same && isOurHeader(header, token.id)) return;
  throw untrusted(
    `the signature of cluster-info by token ${token.id} does not match: the token's second part ` +
      "is wrong, or this is not the cluster that made it",
  );
}

function isOurHeader(header: string, id: string): boolean {
  try {
    const { alg, kid } = JSON.parse(Buffer.from(header, "base64url").toString()) as {
      readonly alg?: string;
      readonly kid?: string;
    };
    return alg === "HS256" && kid === id;
  } catch {
    // No JSON, so no header of a signature.
    return false;
  }
}

async function configuration(
  server: string,
  ca: string,
  token: string,
): Promise<Omit<Discovered, "ca">> {
  const answer = await ask({ server, path: configPath, ca, token });
  const id = token.slice(0, 6);
  if (answer.status === 401) throw unknownToken(id, answer.message);
  if (answer.status !== 200) {
    const text = `the cluster does not let token ${id} read how machines join: ${answer.message}`;
    throw new StatusError(Code.permissionDenied, text);
  }
  const data = dataOf(answer);
  const list = (key: string) => (data[key] ?? "").split(",").filter((each) => each !== "");
  const grpcEndpoints = list("grpcEndpoints");
  if (grpcEndpoints.length === 0) {
    const why = "the ConfigMap trireme-config of kube-system names no grpcEndpoints";
    throw new StatusError(Code.failedPrecondition, why);
  }
  const etcdEndpoints = list("etcdEndpoints");
  const flags = {
    masterFlags: flagsOf("masterFlags", data),
    controllerManagerFlags: flagsOf("controllerManagerFlags", data),
  };
  return { grpcEndpoints, etcdEndpoints, ...flags, localAddress: answer.localAddress };
}

function flagsOf(key: string, data: Data): string[] {
  try {
    const flags: unknown = JSON.parse(data[key] ?? "[]");
    if (Array.isArray(flags) && flags.every((flag) => typeof flag === "string")) return flags;
  } catch {
    // Said below.
  }
  const why = `${key} of the ConfigMap trireme-config of kube-system is no list of flags`;
  throw new StatusError(Code.failedPrecondition, why);
}

function unknownToken(id: string, why: string): StatusError {
  const text =
    `token ${id} is not one of this cluster's, or has expired (${why}); ` +
    "`trireme token create --print-join-command` makes a new one";
  return new StatusError(Code.unauthenticated, text);
}

function untrusted(text: string): StatusError {
  return new StatusError(Code.permissionDenied, text);
}

function invalid(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}
