/**
 * What messages cost to read and write: a pod of 2.9 KB in the forms that the apiserver deals in,
 * and the store's own proposal and record of a put. CPU of one operation, the best of five runs.
 */

import { decodeProposal, encodeProposal, seal, unseal } from "../../ha/store/mod.ts";
import { Pod } from "../../proto/gen/core.ts";
import { KVClient } from "../../proto/gen/etcd.ts";
import { Struct } from "../../proto/gen/google/protobuf/struct.ts";

const podBytes = 2_900;
const runs = 5;
const runMillis = 100;

export async function run(): Promise<void> {
  const pod = somePod();
  const json = JSON.stringify(pod);
  const encoded = Pod.encode(pod).finish();
  const struct = Struct.encode(Struct.wrap(pod)).finish();
  console.log(
    `a pod: ${json.length} B of JSON, ${encoded.length} B encoded, ${struct.length} B as Struct`,
  );
  measure("JSON.parse", () => JSON.parse(json));
  measure("JSON.stringify", () => JSON.stringify(pod));
  measure("ts-proto decode", () => Pod.decode(encoded));
  measure("ts-proto encode", () => Pod.encode(pod).finish());
  measure("google.protobuf.Struct decode", () => Struct.unwrap(Struct.decode(struct)));
  measure("google.protobuf.Struct encode", () => Struct.encode(Struct.wrap(pod)).finish());
  measure("structuredClone", () => structuredClone(pod));

  const key = Buffer.from("bench/key");
  const value = Buffer.alloc(256, 0x76);
  const { put } = KVClient.service;
  const request = put.requestSerialize({ key, value });
  console.log(`\na put of ${value.length} B`);
  measure("etcd PutRequest decode", () => put.requestDeserialize(request));
  measure("etcd PutRequest encode", () => put.requestSerialize({ key, value }));
  const proposal = proposalOf(key, value);
  const proposed = Uint8Array.from(encodeProposal(proposal));
  measure("store proposal decode", () => decodeProposal(proposed));
  measure("store proposal encode", () => encodeProposal(proposal));
  const sealed = seal(key, proposed);
  measure("record seal (CRC-32)", () => seal(key, proposed));
  measure("record unseal", () => unseal(key, sealed));
}

/** What every operation answers, so that none is found to be without effect. */
let sink: unknown;

function measure(name: string, operation: () => unknown): void {
  const batch = 100;
  const once = (millis: number): number => {
    const before = process.cpuUsage();
    const until = performance.now() + millis;
    let count = 0;
    for (; performance.now() < until; count += batch) {
      for (let n = 0; n < batch; n++) sink = operation();
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  };
  once(runMillis);
  const micros = Math.min(...Array.from({ length: runs }, () => once(runMillis)));
  if (sink === undefined) throw new Error(`${name}: nothing came of it`);
  console.log(`  ${name.padEnd(30)} ${micros.toFixed(2).padStart(7)} µs`);
}

function proposalOf(key: Uint8Array, value: Uint8Array): Parameters<typeof encodeProposal>[0] {
  const put = { op: "put", key, value } as const;
  const txn = { compares: [], success: [put], failure: [] };
  const command = { kind: "txn", txn } as const;
  return {
    proposer: 1,
    incarnation: 1,
    wallMillis: Date.now(),
    commands: [{ sequence: 1, command }],
  };
}

/** As a deployment makes them, with as many variables as bring it to its size. */
function somePod(): Pod {
  const env = [{ name: "PORT", value: "8080" }];
  const container = {
    name: "web",
    image: "registry.example.com/shop/web:1.27.3",
    command: ["/usr/bin/web", "--listen", "0.0.0.0:8080"],
    ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }],
    env,
    resources: {
      limits: { cpu: "500m", memory: "256Mi" },
      requests: { cpu: "100m", memory: "128Mi" },
    },
    readinessProbe: {
      httpGet: { path: "/healthz", port: 8080, scheme: "HTTP" },
      periodSeconds: 10,
      failureThreshold: 3,
    },
    volumeMounts: [{ name: "data", mountPath: "/data" }],
    imagePullPolicy: "IfNotPresent",
  };
  const since = "2026-01-01T00:00:00Z";
  const condition = (type: string) => ({ type, status: "True", lastTransitionTime: since });
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "web-6d4cf56db6-x2x5k",
      namespace: "default",
      uid: "7d9a1c52-6f0b-4f0e-9d0e-0b7b1f3c7a11",
      resourceVersion: "123456",
      creationTimestamp: since,
      labels: { app: "web", tier: "front", "pod-template-hash": "6d4cf56db6" },
      annotations: { "example.com/checksum": "0f343b0931126a20f133d67c2b018a3b" },
    },
    spec: {
      containers: [container],
      volumes: [{ name: "data", emptyDir: {} }],
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 30,
      nodeName: "node-1",
      serviceAccountName: "default",
      tolerations: [{ key: "example.com/spot", operator: "Exists", effect: "NoSchedule" }],
    },
    status: {
      phase: "Running",
      podIP: "127.64.1.17",
      startTime: since,
      conditions: ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition),
    },
  };
  for (let n = 0; JSON.stringify(pod).length < podBytes; n++) {
    env.push({ name: `SETTING_${n}`, value: `the value of setting ${n}` });
  }
  return pod;
}
