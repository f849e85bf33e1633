/** A client for the commands, from the flags or from a local cluster's endpoints. */
import { readFileSync } from "node:fs";
import { createLog } from "../../ha/runtime/production/log.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { connectGrpcJs } from "../client/grpc-js-wire.ts";
import type { TriremeClient } from "../client/mod.ts";
import { type Endpoints, readEndpoints } from "./endpoints.ts";

export interface ConnectionFlags {
  readonly dataDir: string;
  readonly server?: string;
  readonly certificateAuthority?: string;
  readonly clientCertificate?: string;
  readonly clientKey?: string;
}

/** Of the flags, or of the cluster of `--data-dir`; undefined: neither names any. */
export function tlsOf(flags: ConnectionFlags) {
  const { server, certificateAuthority, clientCertificate, clientKey } = flags;
  const given = server ?? certificateAuthority ?? clientCertificate ?? clientKey;
  if (given === undefined) return adminTls(readEndpoints(flags.dataDir));
  if (certificateAuthority === undefined) return undefined;
  return {
    ca: readPem(certificateAuthority),
    cert: readPem(clientCertificate),
    key: readPem(clientKey),
  };
}

/** `--server` with its certificates, or the cluster of `--data-dir`. */
export function connect(flags: ConnectionFlags): TriremeClient {
  const local = flags.server === undefined ? readEndpoints(flags.dataDir) : undefined;
  const ca = flags.certificateAuthority ?? local?.ca;
  const cert = flags.clientCertificate ?? local?.clientCert;
  const key = flags.clientKey ?? local?.clientKey;
  const tls =
    ca === undefined ? undefined : { ca: readPem(ca), cert: readPem(cert), key: readPem(key) };
  return connectGrpcJs({
    servers: flags.server?.split(",") ?? local?.grpcEndpoints ?? [],
    ...(tls && { tls }),
    log: createLog({ component: "trireme" }, { level: "error" }),
    identity: "trireme",
  });
}

export function adminTls(endpoints: Endpoints) {
  return {
    ca: readPem(endpoints.ca),
    cert: readPem(endpoints.clientCert),
    key: readPem(endpoints.clientKey),
  };
}

function readPem(file: string | undefined): string {
  if (file === undefined) {
    throw new StatusError(
      Code.invalidArgument,
      "--certificate-authority, --client-certificate and --client-key go together",
    );
  }
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new StatusError(
      Code.failedPrecondition,
      `cannot read ${file}: ${(error as Error).message}`,
    );
  }
}
