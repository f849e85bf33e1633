/** What a master's flags say about machines that join. */
import { parseAddress } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { JoinInfo } from "./join-policy.ts";

/** Those whose value is the same for all masters, and no file. */
const sharedFlags = [
  ...["advertise-grpc-endpoints", "advertise-etcd-endpoints", "kubernetes-service-endpoints"],
  "advertise-controller-manager-args",
  ...["service-cluster-ip-range", "service-node-port-range"],
  ...["default-not-ready-toleration-seconds", "default-unreachable-toleration-seconds"],
  ...["requestheader-allowed-names", "service-account-issuer", "service-account-jwks-uri"],
  ...["api-audiences", "service-account-max-token-expiration"],
  ...["oidc-issuer-url", "oidc-client-id", "oidc-username-claim", "oidc-username-prefix"],
  ...["oidc-groups-claim", "oidc-groups-prefix", "oidc-required-claim"],
  ...["max-requests-inflight", "max-queued-requests", "request-timeout"],
  "etcd-compaction-interval",
];
const addressesMax = 64;

type Values = Readonly<Record<string, string | number | boolean | undefined>>;

/** Undefined: machines cannot join. Throws a StatusError that names the flag. */
export function joinInfo(values: Values): JoinInfo | undefined {
  const grpcEndpoints = addressesOf("advertise-grpc-endpoints", values);
  const etcdEndpoints = addressesOf("advertise-etcd-endpoints", values);
  if (grpcEndpoints.length === 0) {
    if (etcdEndpoints.length === 0) return undefined;
    throw invalid("--advertise-etcd-endpoints needs --advertise-grpc-endpoints");
  }
  const masterFlags = sharedFlags.flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [`--${name}=${value}`];
  });
  const controllerManagerFlags = flagsOf("advertise-controller-manager-args", values);
  return { grpcEndpoints, etcdEndpoints, masterFlags, controllerManagerFlags };
}

function flagsOf(flag: string, values: Values): string[] {
  const text = values[flag];
  const flags = text === undefined ? [] : String(text).split(/,(?=--)/);
  const wrong = flags.find((each) => !/^--[a-z][-a-z0-9]*=/.test(each));
  if (wrong === undefined) return flags;
  throw invalid(`--${flag}: "${wrong}" is not --name=value`);
}

function addressesOf(flag: string, values: Values): string[] {
  const text = values[flag];
  const addresses = text === undefined ? [] : String(text).split(",");
  if (addresses.length > addressesMax) {
    throw invalid(`--${flag}: ${addresses.length} addresses, at most ${addressesMax} are taken`);
  }
  for (const address of addresses) parseAddress(address);
  return addresses;
}

function invalid(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}
