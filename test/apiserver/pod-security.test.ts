/** The levels of pod security that the labels of a namespace ask for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  describe,
  policyOf,
  violationsOf,
} from "../../services/apiserver/admission/pod-security/policy.ts";
import { documentBody, update } from "../../services/apiserver/verbs/mod.ts";
import { adminCall, fails, kind, make, pod, type World, world } from "./harness.ts";

const namespace = (name: string, labels: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});
const key = (mode: string) => `pod-security.kubernetes.io/${mode}`;
const place = { metadata: { name: "p", namespace: "strict" } };

async function strict(w: World, labels: Record<string, string>): Promise<void> {
  const made = await make(w.backend, namespace("strict", labels));
  await w.backend.cache.waitFor(made.revision);
}

test("a pod that breaks the enforced level is refused in upstream's words", async () => {
  await using w = await world();
  await strict(w, { [key("enforce")]: "restricted" });
  await fails(
    make(w.backend, { ...pod("p"), ...place }),
    "permissionDenied",
    'pods "p" is forbidden: violates PodSecurity "restricted:latest": ' +
      'allowPrivilegeEscalation != false (container "main" must set ' +
      "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container " +
      '"main" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or ' +
      'container "main" must set securityContext.runAsNonRoot=true), seccompProfile (pod or ' +
      'container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or ' +
      '"Localhost")',
  );
  const fitting = pod(
    "fits",
    { namespace: "strict" },
    {
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        {
          ...{ name: "main", image: "busybox" },
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] },
          },
        },
      ],
    },
  );
  assert.equal((await make(w.backend, fitting)).name, "fits");
});

test("templates are warned of, at the enforced level where no other one is chosen", async () => {
  await using w = await world();
  await strict(w, { [key("enforce")]: "baseline", [key("enforce-version")]: "v1.30" });
  const call = adminCall();
  await make(
    w.backend,
    {
      ...{ apiVersion: "apps/v1", kind: "Deployment" },
      metadata: { name: "d", namespace: "strict" },
      spec: {
        selector: { matchLabels: { a: "b" } },
        template: {
          metadata: { labels: { a: "b" } },
          spec: { hostNetwork: true, containers: [{ name: "main", image: "busybox" }] },
        },
      },
    },
    call,
  );
  assert.deepEqual(call.warnings, [
    'would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)',
  ]);
});

test("labels that mean nothing are refused, and new levels name the pods that break them", async () => {
  await using w = await world();
  await fails(
    make(w.backend, namespace("odd", { [key("enforce")]: "severe" })),
    "invalidArgument",
    `Namespace "odd" is invalid: metadata.labels[${key("enforce")}]: Invalid value: "severe": ` +
      "must be one of privileged, baseline, restricted",
  );
  await strict(w, { a: "b" });
  for (const name of ["one", "two"]) {
    const privileged = { name: "main", image: "i", securityContext: { privileged: true } };
    const made = await make(
      w.backend,
      pod(name, { namespace: "strict" }, { containers: [privileged] }),
    );
    await w.backend.cache.waitFor(made.revision);
  }
  const call = adminCall();
  const body = documentBody(namespace("strict", { [key("enforce")]: "baseline" }));
  await update(w.backend, call, kind("namespace"), { body, subresource: "", typed: false });
  assert.deepEqual(call.warnings, [
    'existing pods in namespace "strict" violate the new PodSecurity enforce level ' +
      '"baseline:latest"',
    "one (and 1 other pod): privileged",
  ]);
});

const judge = (level: string, spec: object, annotations: Record<string, string> = {}) => {
  const [name, version] = level.split(":") as [string, string];
  const labels = { [key("enforce")]: name, [key("enforce-version")]: version };
  return describe(violationsOf(policyOf(labels).enforce, { annotations }, spec));
};
const one = (securityContext: object, extra: object = {}) => ({
  containers: [{ name: "c", securityContext, ...extra }],
});

const baseline: readonly [string, object, string][] = [
  ["host namespaces", { hostPID: true, hostIPC: true }, "(hostPID=true, hostIPC=true)"],
  [
    "non-default capabilities",
    one({ capabilities: { add: ["SYS_ADMIN", "KILL", "BPF"] } }),
    '(container "c" must not include "BPF", "SYS_ADMIN" in securityContext.capabilities.add)',
  ],
  ["hostPath volumes", { volumes: [{ name: "v", hostPath: { path: "/" } }] }, '(volume "v")'],
  [
    "hostPort",
    one({}, { ports: [{ containerPort: 1, hostPort: 80 }] }),
    '(container "c" uses hostPort 80)',
  ],
  ["forbidden sysctls", { securityContext: { sysctls: [{ name: "kernel.sem" }] } }, "(kernel.sem)"],
  [
    "hostProcess",
    { securityContext: { windowsOptions: { hostProcess: true } } },
    "(pod must not set securityContext.windowsOptions.hostProcess=true)",
  ],
  [
    "procMount",
    one({ procMount: "Unmasked" }),
    '(container "c" must not set securityContext.procMount to "Unmasked")',
  ],
  [
    "seLinuxOptions",
    one({ seLinuxOptions: { type: "spc_t", user: "u" } }),
    '(container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; ' +
      "user may not be set)",
  ],
  [
    "seccompProfile",
    { securityContext: { seccompProfile: { type: "Unconfined" } } },
    '(pod must not set securityContext.seccompProfile.type to "Unconfined")',
  ],
  [
    "forbidden AppArmor profile",
    one({ appArmorProfile: { type: "Unconfined" } }),
    '(container "c" must not set AppArmor profile type to "Unconfined")',
  ],
];

for (const [reason, spec, detail] of baseline) {
  test(`baseline: ${reason}`, () => {
    assert.equal(judge("baseline:latest", spec), `${reason} ${detail}`);
    assert.equal(judge("privileged:latest", spec), "");
  });
}

test("a level means what the release that is named meant", () => {
  const reserved = { securityContext: { sysctls: [{ name: "net.ipv4.tcp_rmem" }] } };
  assert.equal(judge("baseline:v1.31", reserved), "forbidden sysctls (net.ipv4.tcp_rmem)");
  assert.equal(judge("baseline:v1.32", reserved), "");
  const rootless = {
    securityContext: { runAsNonRoot: true, runAsUser: 0 },
    volumes: [{ name: "n", nfs: {} }],
  };
  assert.equal(
    judge("restricted:v1.22", rootless),
    'restricted volume types (volume "n" uses restricted volume type "nfs")',
  );
  assert.match(
    judge("restricted:v1.23", rootless),
    /, runAsUser=0 \(pod must not set runAsUser=0\)$/,
  );
});
