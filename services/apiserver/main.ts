import { isIP } from "node:net";
import type { ClientTls, RpcEngine } from "../../ha/rpc/mod.ts";
import { JumpingClock } from "../../ha/runtime/faults/mod.ts";
import { MetricsRegistry } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { program, runProgram } from "../../ha/runtime/production/process.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { announceTimers, defaultTimers, durationText } from "../../ha/runtime/timers.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { defaultNodePortRange, defaultServiceRange, startApiserver } from "./apiserver.ts";
import { auditFlags, openAudit } from "./audit/flags.ts";
import { oidcOptions, openOidc } from "./auth/oidc/mod.ts";
import { parseApiEndpoints } from "./cluster-service.ts";
import { encryptionFlags, encryptionOf } from "./encryption-flags.ts";
import type { EtcdServer } from "./etcd-server.ts";
import { serveEtcd } from "./etcd-thread.ts";
import { joinInfo } from "./join-flags.ts";
import { limits } from "./limits.ts";
import { endOf, openStore, readPem } from "./open-store.ts";
import { checkCertificate } from "./pki/key-pair.ts";
import { defaultIssuer, serviceAccountOptions } from "./service-account-flags.ts";
import { compactionMillis } from "./storage/compactor.ts";

const apiserver = program({
  name: "apiserver",
  summary: "a master: the Kubernetes API on a replica of the store",
  flags: {
    name: { type: "string", required: true, help: "name of this master, one of --initial-cluster" },
    store: {
      type: "string",
      help: "etcd://host:port,…: an external etcd cluster, in place of a replica of its own",
    },
    "etcd-cafile": { type: "string", help: "CA certificate in PEM of the external etcd" },
    "etcd-certfile": { type: "string", help: "certificate in PEM to show to the external etcd" },
    "etcd-keyfile": { type: "string", help: "its private key in PEM" },
    "etcd-compaction-interval": {
      type: "string",
      default: durationText(defaultTimers.compaction),
      help: "how long the store's history is kept at the least, the same for all masters; 0: for ever",
    },
    "data-dir": { type: "string", help: "directory of the replica's data" },
    "bind-address": { type: "string", default: "127.0.0.1", help: "address the API listens on" },
    "grpc-port": { type: "number", default: 7453, help: "port of the gRPC API" },
    "https-port": {
      type: "number",
      help: "port of Kubernetes' REST API over HTTPS; absent: it is not served",
    },
    "etcd-port": {
      type: "number",
      help: "port on which etcd clients are served; absent: they are not",
    },
    "enable-faults": {
      type: "boolean",
      default: false,
      help: "administrators may set faults into this replica on its --etcd-port, for drills",
    },
    "quota-bytes": {
      type: "number",
      default: 0,
      help: "bytes on disk beyond which writes are refused; 0: 2 GiB, below 0: no limit",
    },
    "initial-cluster-state": {
      type: "string",
      default: "new",
      help: "existing: this replica joins a cluster that has added it",
    },
    "listen-peer": {
      type: "string",
      help: "host:port on which the other replicas reach this one",
    },
    "initial-cluster": {
      type: "string",
      help: "all replicas: name=host:port/peerid, separated by commas",
    },
    "peer-key-file": {
      type: "string",
      help: "Ed25519 private key of this replica in PEM",
    },
    "tls-cert-file": { type: "string", required: true, help: "the server's certificate in PEM" },
    "tls-private-key-file": { type: "string", required: true, help: "its private key in PEM" },
    "client-ca-file": {
      type: "string",
      required: true,
      help: "CA certificate in PEM to which clients' certificates chain",
    },
    "kubelet-client-certificate": {
      type: "string",
      help: "certificate in PEM with which kubelets are called",
    },
    "kubelet-client-key": { type: "string", help: "its private key in PEM" },
    "service-cluster-ip-range": {
      type: "string",
      default: defaultServiceRange,
      help:
        "range from which services get their cluster IP, or one of each family, with a comma between; " +
        "the first one's family is that of the API's endpoints",
    },
    "cluster-dns": {
      type: "string",
      help:
        "address of the service kube-dns, at which the nodes serve DNS, the same for all masters; " +
        "absent: there is no such service",
    },
    "kubernetes-service-endpoints": {
      type: "string",
      help:
        "ip:port,… of the REST API to which the service kubernetes leads, the same for all " +
        "masters; default: this master at its --advertise-address",
    },
    "advertise-grpc-endpoints": {
      type: "string",
      help:
        "host:port,… of the gRPC API for machines that join, the same for all masters; absent: " +
        "none can join",
    },
    "advertise-etcd-endpoints": {
      type: "string",
      help: "host:port,… of the etcd port for masters that join; absent: none can",
    },
    "advertise-address": {
      type: "string",
      help: "address at which balancers reach this master; default: --bind-address, or the machine's",
    },
    "advertise-controller-manager-args": {
      type: "string",
      help:
        "flags, --name=value and separated by commas, of the controller managers beside masters " +
        "that join, the same for all masters",
    },
    "service-node-port-range": {
      type: "string",
      default: defaultNodePortRange,
      help: "ports that services of type NodePort and LoadBalancer get on every node",
    },
    "default-not-ready-toleration-seconds": {
      type: "number",
      default: 300,
      help: "how long pods that do not say so themselves stay on a node that is not ready",
    },
    "default-unreachable-toleration-seconds": {
      type: "number",
      default: 300,
      help: "how long pods that do not say so themselves stay on a node that is unreachable",
    },
    "requestheader-allowed-names": {
      type: "string",
      default: "trireme:balancer",
      help: "common names, separated by commas, that may speak for other users in x-remote-user",
    },
    "rpc-engine": {
      type: "string",
      default: "trireme",
      help: "gRPC server: trireme, or grpc-js as the reference",
    },
    "service-account-signing-key-file": {
      type: "string",
      help: "private key in PEM that signs tokens of service accounts; absent: none are made",
    },
    "service-account-key-file": {
      type: "string",
      help: "keys in PEM that prove them, files separated by commas; default: the signing key",
    },
    "service-account-issuer": {
      type: "string",
      default: defaultIssuer,
      help: "issuers separated by commas: the first makes tokens, all are accepted",
    },
    "service-account-jwks-uri": {
      type: "string",
      help: "URL of the keys for others; default: /openid/v1/jwks below the issuer",
    },
    "api-audiences": {
      type: "string",
      help: "audiences of the API, separated by commas; default: the issuers",
    },
    "service-account-max-token-expiration": {
      type: "string",
      help: "longest life of a token, e.g. 24h; longer requests are cut to it",
    },
    "oidc-issuer-url": {
      type: "string",
      help: "URL of an OpenID Connect provider, https:// alone, whose ID tokens are taken",
    },
    "oidc-client-id": { type: "string", help: "for whom the provider's tokens must be" },
    "oidc-username-claim": { type: "string", help: "claim that names the user; default: sub" },
    "oidc-username-prefix": {
      type: "string",
      help: 'put before the name; default: the issuer and "#", but for email; "-": none',
    },
    "oidc-groups-claim": { type: "string", help: "claim that lists the groups; default: none" },
    "oidc-groups-prefix": { type: "string", help: "put before each group" },
    "oidc-required-claim": {
      type: "string",
      help: "claim=value, pairs separated by commas, that a token must have",
    },
    "oidc-ca-file": {
      type: "string",
      help: "CA certificate in PEM of the provider; default: those that the machine trusts",
    },
    "token-auth-file": {
      type: "string",
      help: 'bearer tokens: a file of lines token,user,uid[,"group1,group2"]',
    },
    "max-requests-inflight": {
      type: "number",
      default: limits.seats,
      help: "requests under way at once; priority levels share them (README)",
    },
    "max-queued-requests": {
      type: "number",
      default: limits.queueLength,
      help: "requests of one user that wait for their turn before more are refused",
    },
    ...encryptionFlags,
    ...auditFlags,
    "request-timeout": {
      type: "number",
      default: limits.requestTimeoutMillis / 1000,
      help: "seconds after which a request ends",
    },
  },
  async start(values, log, tracing) {
    const { name } = values;
    const requestTimeoutMillis = timeoutMillis(values["request-timeout"]);
    const metrics = new MetricsRegistry();
    tracing?.addMetrics(metrics);
    const compaction = compactionMillis(values["etcd-compaction-interval"]);
    const times = { requestTimeout: requestTimeoutMillis, compaction };
    announceTimers("apiserver", times, { log, metrics });
    const ca = await readPem("client-ca-file", values["client-ca-file"]);
    const cert = await readPem("tls-cert-file", values["tls-cert-file"]);
    checkCertificate(values["tls-cert-file"], cert, Date.now());
    const key = await readPem("tls-private-key-file", values["tls-private-key-file"]);
    const kubeletTls = await kubeletCredentials(
      ca,
      values["kubelet-client-certificate"],
      values["kubelet-client-key"],
    );
    const tokenFile = values["token-auth-file"];
    const tokens = tokenFile && (await readPem("token-auth-file", tokenFile));
    const serviceAccounts = await serviceAccountOptions(values);
    const oidc = await oidcProvider(values, log);
    const host = values["bind-address"];
    const etcdPort = values["etcd-port"];
    const httpsPort = values["https-port"];
    const own = httpsPort === undefined ? undefined : { host, port: httpsPort };
    const advertised = values["advertise-address"] ?? host;
    const apiEndpoints = parseApiEndpoints(
      values["kubernetes-service-endpoints"],
      own && { ...own, host: isIP(advertised) === 0 ? host : advertised },
      values["service-cluster-ip-range"],
    );
    const audit = await openAudit(values, { log, now: () => Date.now() });
    const encryption = await encryptionOf(values, log);
    const clock = new JumpingClock(productionClock);
    const { store, member } = await openStore(values, log, (millis) => {
      clock.offsetMillis = millis;
    });
    let etcd: EtcdServer | undefined;
    try {
      if (etcdPort !== undefined && member !== undefined) {
        // A client of the store sees every object: the API's authorizers do not guard this port.
        const clientsRequired = { organization: "system:masters" };
        const tls = { cert, key, clientCa: ca, clientsRequired };
        etcd = await serveEtcd(member, {
          listen: { host, port: etcdPort },
          tls,
          tracing: tracing?.settings,
        });
      }
      const server = await startApiserver({
        name,
        store,
        snapshot: member && ((since) => member.admin.snapshot(since)),
        listen: { host, port: values["grpc-port"] },
        tls: { cert, key, clientCa: ca },
        https: own,
        frontProxyNames: values["requestheader-allowed-names"].split(","),
        serviceRange: values["service-cluster-ip-range"],
        apiEndpoints,
        clusterDns: values["cluster-dns"],
        join: joinInfo(values),
        nodePortRange: values["service-node-port-range"],
        tolerationSeconds: {
          notReady: countOf(
            "default-not-ready-toleration-seconds",
            values["default-not-ready-toleration-seconds"],
            0,
          ),
          unreachable: countOf(
            "default-unreachable-toleration-seconds",
            values["default-unreachable-toleration-seconds"],
            0,
          ),
        },
        taintNewNodes: true,
        kubeletTls,
        tokens,
        serviceAccounts,
        tokenKinds: oidc && [oidc.authenticator],
        seats: countOf("max-requests-inflight", values["max-requests-inflight"], 10),
        queueLength: countOf("max-queued-requests", values["max-queued-requests"], 0),
        requestTimeoutMillis,
        compactionMillis: compaction,
        rpcEngine: rpcEngine(values["rpc-engine"]),
        metrics,
        tracer: tracing?.tracer,
        encryption: encryption?.encryption,
        audit: audit && { policy: audit.policy, sink: audit.log, counts: audit.log.counts },
        ...(values["enable-faults"] && { clock }),
        log,
      });
      return {
        ...(member && { ended: endOf(member) }),
        async stop() {
          // Before anything is closed, so that writes go on while the last calls here end.
          await member?.admin.handOver().catch((thrown) => {
            log.warn("leadership was not handed over", { error: StatusError.from(thrown).message });
          });
          oidc?.close();
          await Promise.all([etcd?.close(), server.close()]);
          encryption?.close();
          await audit?.log.close();
          await store.close();
        },
      };
    } catch (thrown) {
      oidc?.close();
      await etcd?.close();
      encryption?.close();
      await audit?.log.close();
      await store.close();
      throw thrown;
    }
  },
});

export { apiserver as program };

function rpcEngine(name: string): RpcEngine {
  if (name === "trireme" || name === "grpc-js") return name;
  throw new StatusError(Code.invalidArgument, `--rpc-engine ${name}: must be trireme or grpc-js`);
}

async function oidcProvider(flags: Readonly<Record<string, unknown>>, log: Log) {
  const texts = Object.entries(flags).filter(([name]) => name.startsWith("oidc-"));
  const given = Object.fromEntries(texts) as Record<string, string | undefined>;
  const options = oidcOptions(given);
  const file = given["oidc-ca-file"];
  const ca = file === undefined ? undefined : await readPem("oidc-ca-file", file);
  return options && openOidc({ ...options, ca }, { clock: productionClock, log });
}

const countMax = 100_000;

function countOf(flag: string, count: number, least: number): number {
  if (Number.isInteger(count) && count >= least && count <= countMax) return count;
  throw new StatusError(
    Code.invalidArgument,
    `--${flag} ${count}: must be a whole number from ${least} to ${countMax}`,
  );
}

const timeoutSecondsMax = 3_600;

function timeoutMillis(seconds: number): number {
  if (seconds > 0 && seconds <= timeoutSecondsMax) return 1000 * seconds;
  throw new StatusError(
    Code.invalidArgument,
    `--request-timeout ${seconds}: must be above 0 and at most ${timeoutSecondsMax} seconds`,
  );
}

async function kubeletCredentials(
  ca: string,
  certFile: string | undefined,
  keyFile: string | undefined,
): Promise<ClientTls | undefined> {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw new StatusError(
      Code.invalidArgument,
      "--kubelet-client-certificate and --kubelet-client-key are given together or not at all",
    );
  }
  const cert = await readPem("kubelet-client-certificate", certFile);
  checkCertificate(certFile, cert, Date.now());
  return { ca, cert, key: await readPem("kubelet-client-key", keyFile) };
}

if (import.meta.main) await runProgram(apiserver, process.argv.slice(2));
