import type { Container, Pod, ServiceAccount, Volume } from "../../../proto/gen/core.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin } from "./chain.ts";

export interface ServiceAccountOptions {
  /** The account, as the watch cache has it or, failing that, the store. */
  readonly find: (namespace: string, name: string) => Promise<ServiceAccount | undefined>;
  /** Whether pods get tokens: only where there is a key to sign them with. */
  readonly makesTokens: boolean;
  /** Uniform integer in 0..limit-1. */
  readonly random: (limit: number) => number;
}

const defaultAccount = "default";
/** Where every client library looks for the token, the CA and the namespace. */
const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const namePrefix = "kube-api-access-";
/** Seven seconds more than an hour tell the apiserver that the token was not asked for by name. */
const tokenSeconds = 3_607;
const mirror = "kubernetes.io/config.mirror";
/** Those of generated names upstream: without vowels, they spell no words. */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/**
 * A pod runs as a service account that exists, and gets its token and its image pull secrets
 * (upstream's ServiceAccount). The account `default` is taken for granted in every namespace: it is
 * made together with its namespace, a moment later.
 */
export function serviceAccount(options: ServiceAccountOptions): AdmissionPlugin {
  return {
    name: "service-account",
    resources: ["pods"],
    operations: ["create"],
    async mutate({ document, namespace, subresource }) {
      const { spec, metadata } = (document ?? {}) as Pod;
      if (spec === undefined || subresource !== "") return;
      // What a node shows of its own pods runs already.
      if (metadata?.annotations?.[mirror] !== undefined) return;
      spec.serviceAccountName ||= defaultAccount;
      // The older name of the same field (upstream keeps both equal).
      spec.serviceAccount = spec.serviceAccountName;
      const account = await options.find(namespace, spec.serviceAccountName);
      const mounts =
        spec.automountServiceAccountToken ?? account?.automountServiceAccountToken ?? true;
      if (mounts && options.makesTokens) mountToken(spec, options.random);
      if ((spec.imagePullSecrets ?? []).length > 0) return;
      const secrets = account?.imagePullSecrets ?? [];
      if (secrets.length > 0) spec.imagePullSecrets = secrets.map(({ name }) => ({ name }));
    },
    async validate({ resource, namespace, name, document }) {
      const account = ((document ?? {}) as Pod).spec?.serviceAccountName ?? defaultAccount;
      if (account === defaultAccount) return;
      if ((await options.find(namespace, account)) !== undefined) return;
      throw forbidden(
        resource,
        name,
        `error looking up service account ${namespace}/${account}: ` +
          `serviceaccount "${account}" not found`,
      );
    },
  };
}

/** Every container without a mount of its own at the path gets one; the pod one volume for all. */
function mountToken(spec: NonNullable<Pod["spec"]>, random: (limit: number) => number): void {
  const volumes = spec.volumes ?? [];
  const present = volumes.find(({ name }) => name?.startsWith(namePrefix))?.name;
  const name = present ?? namePrefix + suffix(random);
  const without = (one: Container) =>
    !(one.volumeMounts ?? []).some((mount) => mount.mountPath === mountPath);
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])].filter(without);
  for (const container of containers) {
    container.volumeMounts = [
      ...(container.volumeMounts ?? []),
      { name, readOnly: true, mountPath },
    ];
  }
  if (containers.length > 0 && present === undefined) spec.volumes = [...volumes, access(name)];
}

function suffix(random: (limit: number) => number): string {
  return Array.from({ length: 5 }, () => alphabet[random(alphabet.length)]).join("");
}

/** The token, the CA that proves the apiserver, and the namespace. */
function access(name: string): Volume {
  const root = { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] };
  const fieldRef = { apiVersion: "v1", fieldPath: "metadata.namespace" };
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
        { configMap: root },
        { downwardAPI: { items: [{ path: "namespace", fieldRef }] } },
      ],
      defaultMode: 0o644,
    },
  };
}
