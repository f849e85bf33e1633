/** A client that needs no balancer: it deals its calls out to the masters by itself. */
import { readFileSync } from "node:fs";
import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";
import { LeasesClient } from "../../proto/gen/coordination.ts";

const service = "trireme.coordination.v1.Leases";

export const options: ChannelOptions = {
  "grpc.service_config": JSON.stringify({
    // Other gRPC libraries watch each master's health themselves, and leave out one that says
    // NOT_SERVING: `healthCheckConfig: { serviceName: "" }`. @grpc/grpc-js 1.14 cannot; what it can is
    // to leave out a master that fails half its calls. A lost or leaving one it always leaves out.
    loadBalancingConfig: [
      {
        outlier_detection: {
          interval: { seconds: 1, nanos: 0 },
          base_ejection_time: { seconds: 2, nanos: 0 },
          failure_percentage_ejection: { threshold: 50, minimum_hosts: 3, request_volume: 5 },
          child_policy: [{ round_robin: {} }],
        },
      },
    ],
    methodConfig: [
      {
        // Reads; a write may be named here too if it always carries a `trireme-request-id`.
        name: [
          { service, method: "Get" },
          { service, method: "List" },
        ],
        retryPolicy: {
          maxAttempts: 5,
          initialBackoff: "0.05s",
          maxBackoff: "1s",
          backoffMultiplier: 2,
          retryableStatusCodes: ["UNAVAILABLE"],
        },
      },
    ],
  }),
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.ssl_target_name_override": "localhost",
};

/** `addresses`: `IP:port` of every master. */
export function connectToAll(addresses: readonly string[], tls: ChannelCredentials): LeasesClient {
  return new LeasesClient(`ipv4:${addresses.join(",")}`, tls, options);
}

/** A read, and which master has answered it. */
export function read(leases: LeasesClient, namespace: string, name: string) {
  return new Promise<{ readonly holder: string | undefined; readonly master: string }>(
    (resolve, reject) => {
      const call = leases.get({ namespace, name }, new Metadata(), (error, lease) => {
        if (error) reject(error);
        else resolve({ holder: lease.spec?.holderIdentity, master: call.getPeer() });
      });
    },
  );
}

if (import.meta.main) {
  const { masters, ca, clientCert, clientKey } = JSON.parse(
    readFileSync(".trireme/endpoints.json", "utf8"),
  );
  const [root, key, cert] = [ca, clientKey, clientCert].map((file) => readFileSync(file));
  const leases = connectToAll(
    masters.map(({ grpc }: { grpc: string }) => grpc),
    credentials.createSsl(root, key, cert),
  );
  for (let n = 0; n < 9; n++) {
    const { holder, master } = await read(leases, "kube-system", "kube-scheduler");
    console.log(`${master}: the scheduler that leads is ${holder}`);
  }
  leases.close();
}
