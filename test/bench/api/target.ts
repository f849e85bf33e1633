/** Where a foreign API is, and how its clients prove who they are. */
import { readFileSync } from "node:fs";
import { KubeConfig } from "@kubernetes/client-node";

export interface RestCredentials {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
}

export interface RestTarget {
  /** `host:port`. */
  readonly endpoint: string;
  readonly credentials: RestCredentials;
}

/** `against`: a kubeconfig, whose current context is taken, or `https://host:port`. */
export function targetOf(
  against: string,
  given: { readonly token?: string | undefined; readonly ca?: string | undefined },
): RestTarget {
  if (against.startsWith("https://")) {
    const ca = given.ca === undefined ? {} : { ca: readFileSync(given.ca, "utf8") };
    const token = given.token === undefined ? {} : { token: given.token };
    return { endpoint: new URL(against).host, credentials: { ...ca, ...token } };
  }
  const config = new KubeConfig();
  config.loadFromFile(against);
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (!cluster?.server.startsWith("https://")) {
    throw new Error(`--against ${against}: its current context names no https server`);
  }
  const decoded = (name: string, data: string | undefined, file: string | undefined) => {
    if (data) return { [name]: Buffer.from(data, "base64").toString("utf8") };
    return file ? { [name]: readFileSync(file, "utf8") } : {};
  };
  return {
    endpoint: new URL(cluster.server).host,
    credentials: {
      ...decoded("ca", cluster.caData, cluster.caFile),
      ...decoded("cert", user?.certData, user?.certFile),
      ...decoded("key", user?.keyData, user?.keyFile),
      ...(user?.token === undefined ? {} : { token: user.token }),
    },
  };
}
