/** Targets in this process: an apiserver with its gRPC and REST faces, as a running cluster tells. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { type RestWorld, restWorld } from "../rest/harness.ts";

export interface LoadWorld extends AsyncDisposable {
  /** With `endpoints.json`, certificates and `kubeconfig`: what `--data-dir` names. */
  readonly directory: string;
  readonly rest: RestWorld;
}

export async function loadWorld(): Promise<LoadWorld> {
  const rest = await restWorld();
  const directory = mkdtempSync(join(tmpdir(), "trireme-load-"));
  const file = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  const grpc = `127.0.0.1:${rest.server.port}`;
  const https = `127.0.0.1:${rest.port}`;
  const { admin, ca } = rest;
  const pems = {
    ca: file("ca.crt", ca),
    clientCert: file("admin.crt", admin.cert),
    clientKey: file("admin.key", admin.key),
  };
  const endpoints = {
    ...{ grpcEndpoints: [grpc], httpsEndpoints: [https], etcdEndpoints: [] },
    masters: [{ name: "master-0", grpc, https, etcd: "127.0.0.1:1" }],
    ...pems,
  };
  file("endpoints.json", JSON.stringify(endpoints));
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  file(
    "kubeconfig",
    stringify({
      clusters: [
        {
          name: "here",
          cluster: { server: `https://${https}`, "certificate-authority-data": base64(ca) },
        },
      ],
      users: [
        {
          name: "admin",
          user: {
            "client-certificate-data": base64(admin.cert),
            "client-key-data": base64(admin.key),
          },
        },
      ],
      contexts: [{ name: "here", context: { cluster: "here", user: "admin" } }],
      "current-context": "here",
    }),
  );
  return {
    ...{ directory, rest },
    async [Symbol.asyncDispose]() {
      await rest[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true });
    },
  };
}
