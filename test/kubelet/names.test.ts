/** Hostnames, resolv.conf, fields and identities: pure functions over pods. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Container, Pod, PodSpec } from "../../proto/gen/core.ts";
import {
  giveToGroup,
  prepareEmptyDir,
  unmountVolumes,
} from "../../services/kubelet/pod/empty-dir.ts";
import {
  containerRules,
  podRules,
  refuseUnfulfillable,
  unfulfilled,
} from "../../services/kubelet/pod/fields.ts";
import {
  dnsOf,
  fullName,
  podHostname,
  withinLimits,
} from "../../services/kubelet/pod/network-files.ts";
import { sandboxConfig } from "../../services/kubelet/pod/sandbox.ts";
import {
  capabilitiesOfMask,
  identityArguments,
} from "../../services/kubelet/runtime/process/identity.ts";
import type { RuntimeFeatures } from "../../services/kubelet/runtime/types.ts";

const podOf = (spec: PodSpec): Pod => ({
  metadata: { name: "web-0", namespace: "n", uid: "u" },
  spec,
});
const cluster = { servers: ["10.0.0.10"], domain: "cluster.local" };
const noDns = { servers: [], domain: "cluster.local" };

describe("hostnames", () => {
  test("hostname, subdomain and setHostnameAsFQDN", () => {
    assert.equal(podHostname(podOf({}), "cluster.local"), "web-0");
    assert.equal(podHostname(podOf({ hostname: "own" }), "cluster.local"), "own");
    const pod = podOf({ hostname: "own", subdomain: "svc", setHostnameAsFQDN: true });
    assert.equal(podHostname(pod, "cluster.local"), "own.svc.n.svc.cluster.local");
    assert.equal(fullName(podOf({}), "cluster.local"), undefined);
    assert.equal(podHostname(podOf({ hostNetwork: true }), "cluster.local"), hostname());
    const long = { metadata: { name: `${"a".repeat(62)}-b` }, spec: {} };
    assert.equal(podHostname(long, "cluster.local"), "a".repeat(62));
  });
});

describe("resolv.conf", () => {
  const dir = mkdtempSync(join(tmpdir(), "trireme-dns-"));
  const file = join(dir, "resolv.conf");
  writeFileSync(
    file,
    "nameserver 1.1.1.1\nnameserver 2.2.2.2\nsearch corp example\noptions timeout:1\n",
  );
  test("by policy", (t) => {
    t.after(() => rmSync(dir, { recursive: true }));
    const node = {
      servers: ["1.1.1.1", "2.2.2.2"],
      searches: ["corp", "example"],
      options: ["timeout:1"],
    };
    assert.equal(dnsOf(podOf({ dnsPolicy: "Default" }), cluster, file), undefined);
    assert.equal(dnsOf(podOf({}), noDns, file), undefined, "a cluster without DNS: the node's");
    const inCluster = {
      servers: ["10.0.0.10"],
      searches: ["n.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp", "example"],
      options: ["ndots:5"],
    };
    assert.deepEqual(dnsOf(podOf({}), cluster, file), inCluster);
    assert.equal(dnsOf(podOf({ hostNetwork: true }), cluster, file), undefined);
    const onHost = podOf({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" });
    assert.deepEqual(dnsOf(onHost, cluster, file), inCluster);
    const dnsConfig = {
      nameservers: ["9.9.9.9", "1.1.1.1"],
      searches: ["more"],
      options: [{ name: "timeout", value: "7" }, { name: "edns0" }],
    };
    assert.deepEqual(dnsOf(podOf({ dnsPolicy: "None", dnsConfig }), cluster, file), {
      servers: ["9.9.9.9", "1.1.1.1"],
      searches: ["more"],
      options: ["timeout:7", "edns0"],
    });
    assert.deepEqual(dnsOf(podOf({ dnsPolicy: "Default", dnsConfig }), cluster, file), {
      servers: [...node.servers, "9.9.9.9"],
      searches: [...node.searches, "more"],
      options: ["timeout:7", "edns0"],
    });
  });
});

test("a resolver's limits, and what is left out for them", () => {
  const told: string[] = [];
  const config = withinLimits(
    { servers: ["1", "2", "3", "4"], searches: ["a".repeat(2_000), "b".repeat(60)], options: [] },
    (text) => told.push(text),
  );
  assert.deepEqual(config.servers, ["1", "2", "3"]);
  assert.deepEqual(config.searches, ["a".repeat(2_000)]);
  const omitted = "some nameservers have been omitted, the applied nameserver line is: 1 2 3";
  assert.equal(told[0], `Nameserver limits were exceeded, ${omitted}`);
  assert.match(told[1] ?? "", /^Search Line limits were exceeded, some search paths have been/);
});

test("a sandbox carries namespaces and port mappings", () => {
  const ports = [{ containerPort: 80, hostPort: 8080, protocol: "UDP", hostIP: "127.0.0.1" }];
  const spec = { shareProcessNamespace: true, containers: [{ name: "c", ports }] };
  const config = sandboxConfig(podOf(spec), { address: "127.64.0.1" }, noDns, () => undefined);
  assert.deepEqual(config.portMappings, [
    { protocol: "UDP", containerPort: 80, hostPort: 8080, hostIP: "127.0.0.1" },
  ]);
  assert.deepEqual(config.security, { network: "pod", pid: "pod", ipc: "pod", sysctls: {} });
  const host = sandboxConfig(
    podOf({ ...spec, hostNetwork: true, hostPID: true }),
    { address: "a" },
    noDns,
    () => undefined,
  );
  assert.deepEqual([host.portMappings, host.security?.pid], [[], "node"]);
});

describe("fields", () => {
  const all: RuntimeFeatures = {
    privateMounts: true,
    changeIdentity: true,
    restrictPrivileges: true,
    grantableCapabilities: [],
    terminals: true,
    memoryLimits: true,
    cpuLimits: true,
    ownNetwork: false,
    registries: false,
    kernelParameters: false,
    stopSignals: true,
  };
  const none: RuntimeFeatures = {
    ...all,
    privateMounts: false,
    changeIdentity: false,
    restrictPrivileges: false,
    terminals: false,
    memoryLimits: false,
    cpuLimits: false,
    stopSignals: false,
  };
  const asking: PodSpec = {
    hostUsers: false,
    runtimeClassName: "kata",
    resourceClaims: [{ name: "r" }],
    hostAliases: [{ ip: "1.1.1.1" }],
    dnsPolicy: "None",
    setHostnameAsFQDN: true,
    imagePullSecrets: [{ name: "s" }],
    resources: { limits: { cpu: "1" } },
    volumes: [
      { emptyDir: { medium: "Memory" } },
      { emptyDir: { medium: "HugePages-2Mi" } },
      { image: { reference: "r" } },
    ],
    securityContext: {
      sysctls: [{ name: "a", value: "1" }],
      fsGroup: 5,
      seLinuxOptions: { level: "s0" },
      windowsOptions: { hostProcess: true },
    },
  };
  const container: Container = {
    name: "c",
    tty: true,
    lifecycle: { stopSignal: "SIGUSR1" },
    volumeDevices: [{ name: "d" }],
    volumeMounts: [
      { mountPropagation: "Bidirectional", recursiveReadOnly: "Enabled" },
      {
        name: "kube-api-access-abcde",
        mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
        readOnly: true,
      },
    ],
    ports: [{ hostPort: 80 }],
    resources: { limits: { cpu: "1", memory: "1", "ephemeral-storage": "1" } },
    securityContext: {
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      privileged: true,
      seLinuxOptions: { level: "s0" },
      windowsOptions: { hostProcess: true },
    },
  };
  const profiles = ["Localhost", "RuntimeDefault"].map((type) => ({
    seccompProfile: { type },
    appArmorProfile: { type },
  }));

  test("every rule of the table matches a pod that asks for it, and no other", () => {
    for (const rule of podRules) {
      assert.equal(rule.asks({}), false, rule.field);
      const asked = [asking, ...profiles.map((securityContext) => ({ securityContext }))];
      assert.ok(
        asked.some((spec) => rule.asks(spec)),
        rule.field,
      );
    }
    for (const rule of containerRules) {
      assert.equal(rule.asks({}), false, rule.field);
      const asked = [container, ...profiles.map((securityContext) => ({ securityContext }))];
      assert.ok(
        asked.some((one) => rule.asks(one)),
        rule.field,
      );
    }
  });

  test("a feature of the runtime turns a warning or a refusal into behaviour", () => {
    const fieldsOf = (texts: readonly string[]) => texts.map((text) => text.split(":", 1).join(""));
    const spec = { hostAliases: asking.hostAliases ?? [], containers: [container] };
    assert.deepEqual(fieldsOf(unfulfilled(spec, none)), [
      "spec.hostAliases",
      "spec.containers[0].volumeMounts[].mountPath",
      "spec.containers[0].resources.limits.memory",
      "spec.containers[0].resources.limits.cpu",
      "spec.containers[0].resources.limits.ephemeral-storage",
      "spec.containers[0].lifecycle.stopSignal",
      "spec.containers[0].securityContext.seLinuxOptions",
      "spec.containers[0].securityContext.windowsOptions",
    ]);
    assert.equal(unfulfilled(spec, all).length, 3);
    const safe = { name: "c", securityContext: { readOnlyRootFilesystem: true } };
    assert.throws(() => refuseUnfulfillable({}, safe, none), {
      name: "ContainerConfigError",
      message:
        "container c: securityContext.readOnlyRootFilesystem: private mounts do not work on this machine",
    });
    refuseUnfulfillable({}, safe, all);
  });
});

describe("identity", () => {
  test("users and groups", () => {
    assert.deepEqual(identityArguments(undefined, true), []);
    assert.deepEqual(identityArguments({ supplementalGroups: [7, 8] }, true), [
      "--regid=0",
      "--groups=7,8",
    ]);
    assert.deepEqual(identityArguments({ runAsUser: 5 }, true), [
      "--reuid=5",
      "--regid=0",
      "--clear-groups",
    ]);
    assert.deepEqual(identityArguments({ runAsUser: 5, noNewPrivileges: true }, false), [
      "--no-new-privs",
    ]);
  });
  test("capabilities", () => {
    const sets = (drop: string[], add: string[], privileged = false) =>
      identityArguments({ dropCapabilities: drop, addCapabilities: add, privileged }, true);
    assert.deepEqual(sets([], ["NET_ADMIN"]), []);
    assert.deepEqual(sets(["ALL"], ["NET_BIND_SERVICE"]), [
      "--inh-caps=-all,+net_bind_service",
      "--bounding-set=-all,+net_bind_service",
    ]);
    assert.deepEqual(sets(["CHOWN", "KILL"], ["KILL"]), [
      "--inh-caps=-chown",
      "--bounding-set=-chown",
    ]);
    assert.deepEqual(sets(["ALL"], [], true), []);
    assert.deepEqual(capabilitiesOfMask("401"), ["CHOWN", "NET_BIND_SERVICE"]);
  });
});

describe("emptyDir", () => {
  test("in memory it is a tmpfs of the given size, and its memory is given back", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    const dir = mkdtempSync(join(tmpdir(), "trireme-tmpfs-"));
    t.after(() => rmSync(dir, { recursive: true }));
    const volume = join(dir, "v");
    await prepareEmptyDir(volume, { medium: "Memory", sizeLimit: "1Mi" }, true);
    await prepareEmptyDir(volume, { medium: "Memory", sizeLimit: "1Mi" }, true);
    assert.notEqual(statSync(volume).dev, statSync(dir).dev);
    assert.throws(() => writeFileSync(join(volume, "big"), Buffer.alloc(2 ** 21)), /ENOSPC/);
    await unmountVolumes(dir);
    assert.equal(statSync(volume).dev, statSync(dir).dev);
  });

  test("fsGroup owns its files, and directories hand it on", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    const dir = mkdtempSync(join(tmpdir(), "trireme-group-"));
    t.after(() => rmSync(dir, { recursive: true }));
    mkdirSync(join(dir, "sub"));
    writeFileSync(join(dir, "sub", "file"), "");
    chmodSync(join(dir, "sub", "file"), 0o600);
    await giveToGroup(dir, 4321, true);
    const [folder, file] = [statSync(join(dir, "sub")), statSync(join(dir, "sub", "file"))];
    assert.deepEqual([folder.gid, folder.mode & 0o2070], [4321, 0o2070]);
    assert.deepEqual([file.gid, file.mode & 0o777], [4321, 0o660]);
  });
});
