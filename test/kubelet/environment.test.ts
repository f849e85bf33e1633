import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Container, Pod, Service, VolumeMount } from "../../proto/gen/core.ts";
import {
  type AccountTokenRequest,
  AccountTokens,
} from "../../services/kubelet/pod/account-tokens.ts";
import {
  containerEnvironment,
  expand,
  fieldValue,
  resourceValue,
  serviceVariables,
} from "../../services/kubelet/pod/environment.ts";
import { containerConfig } from "../../services/kubelet/pod/start.ts";
import { mountsOf, prepareVolumes } from "../../services/kubelet/pod/volumes.ts";
import { FakeClock } from "../client/fake-clock.ts";

const pod: Pod = {
  metadata: { name: "p", namespace: "d", uid: "u", labels: { app: "web", tier: 'a"b' } },
  spec: { containers: [], serviceAccountName: "sa" },
};
const facts = {
  pod,
  podIP: "127.64.0.1",
  hostIP: "127.0.0.1",
  nodeName: "n",
  nodeCpuMillis: 2500,
  nodeMemoryBytes: 1000,
  hostname: "p",
};
const source = {
  configMap: async (_: string, name: string) =>
    name === "cm" ? { data: { a: "1", "b.c": "2", "bad key": "x" } } : undefined,
  secret: async (_: string, name: string) =>
    name === "s" ? { data: { password: Buffer.from("geheim").toString("base64") } } : undefined,
  claim: async () => undefined,
  volume: async () => undefined,
};
const environment = (container: Container, services: Service[] = []) =>
  containerEnvironment(facts, container, services, source);

describe("environment", () => {
  test("variables of one secret are read at once", async () => {
    let reads = 0;
    const counted = {
      ...source,
      secret: (namespace: string, name: string) => {
        reads += 1;
        return source.secret(namespace, name);
      },
    };
    const secretKeyRef = { name: "s", key: "password" };
    const container = {
      envFrom: [{ secretRef: { name: "s" } }],
      env: ["A", "B"].map((name) => ({ name, valueFrom: { secretKeyRef } })),
    };
    const values = await containerEnvironment(facts, container, [], counted);
    assert.deepEqual([values["password"], values["A"], values["B"]], Array(3).fill("geheim"));
    assert.equal(reads, 1);
  });

  const expansions: [string, string][] = [
    ["$(A)", "1"],
    ["x$(A)y$(B)z", "x1y2z"],
    ["$(NONE)", "$(NONE)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$1"],
    ["$A ${A} $", "$A ${A} $"],
    ["$(A", "$(A"],
    ["$()", "$()"],
    ["$(toString)", "$(toString)"],
  ];
  for (const [text, expected] of expansions) {
    test(`expands ${text}`, () => assert.equal(expand(text, { A: "1", B: "2" }), expected));
  }

  test("order: services, envFrom, env; references see what came before", async () => {
    const env = await environment({
      envFrom: [{ prefix: "CM_", configMapRef: { name: "cm" } }, { secretRef: { name: "s" } }],
      env: [
        { name: "FIRST", value: "$(CM_a)-$(LATER)" },
        { name: "LATER", value: "$(FIRST)" },
        { name: "password", value: "mine" },
        { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "PW", valueFrom: { secretKeyRef: { name: "s", key: "password" } } },
        { name: "NONE", valueFrom: { configMapKeyRef: { name: "x", key: "y", optional: true } } },
      ],
    });
    assert.equal(env["FIRST"], "1-$(LATER)");
    assert.equal(env["LATER"], "1-$(LATER)");
    assert.equal(env["CM_b.c"], "2");
    assert.equal("CM_bad key" in env, false);
    assert.equal(env["password"], "mine");
    assert.deepEqual([env["NAME"], env["PW"], "NONE" in env], ["p", "geheim", false]);
    assert.deepEqual(
      [env["HOSTNAME"], env["POD_IP"], env["POD_NAME"], env["POD_NAMESPACE"]],
      ["p", "127.64.0.1", "p", "d"],
    );
  });

  test("what is missing is named", async () => {
    await assert.rejects(environment({ envFrom: [{ configMapRef: { name: "nope" } }] }), {
      name: "ContainerConfigError",
      message: 'configmap "nope" not found',
    });
    const env = [{ name: "X", valueFrom: { secretKeyRef: { name: "s", key: "z" } } }];
    await assert.rejects(environment({ env }), /couldn't find key z in Secret d\/s/);
  });

  test("downward values", () => {
    assert.equal(fieldValue(facts, "metadata.labels['app']"), "web");
    assert.equal(fieldValue(facts, "metadata.labels['none']"), "");
    assert.equal(fieldValue(facts, "metadata.labels"), 'app="web"\ntier="a\\"b"');
    assert.equal(fieldValue(facts, "status.podIP"), "127.64.0.1");
    assert.equal(fieldValue(facts, "spec.nodeName"), "n");
    assert.equal(fieldValue(facts, "spec.secret"), undefined);
    const container = { resources: { limits: { memory: "64Mi" }, requests: { cpu: "250m" } } };
    const value = (resource: string, divisor?: string) =>
      resourceValue(facts, container, divisor === undefined ? { resource } : { resource, divisor });
    assert.equal(value("limits.memory"), String(64 * 2 ** 20));
    assert.equal(value("limits.memory", "1Mi"), "64");
    assert.equal(value("requests.cpu"), "1");
    assert.equal(value("requests.cpu", "1m"), "250");
    assert.equal(value("limits.cpu", "1m"), "2500", "without a limit: what the node allows");
    assert.equal(value("other"), undefined);
  });

  test("service variables of the namespace, and the cluster's own", () => {
    const service = (name: string, namespace: string, clusterIP: string): Service => ({
      metadata: { name, namespace },
      spec: {
        clusterIP,
        ports: [
          { name: "http", port: 80 },
          { name: "dns", port: 53, protocol: "UDP" },
        ],
      },
    });
    const services = [
      service("my-db", "d", "127.32.0.1"),
      service("other", "x", "127.32.0.2"),
      service("headless", "d", "None"),
      service("kubernetes", "default", "127.32.0.9"),
    ];
    const values = serviceVariables(services, "d", true);
    assert.equal(values["MY_DB_SERVICE_HOST"], "127.32.0.1");
    assert.equal(values["MY_DB_SERVICE_PORT"], "80");
    assert.equal(values["MY_DB_SERVICE_PORT_DNS"], "53");
    assert.equal(values["MY_DB_PORT_53_UDP"], "udp://127.32.0.1:53");
    assert.equal(values["KUBERNETES_SERVICE_HOST"], "127.32.0.9");
    assert.equal("OTHER_SERVICE_HOST" in values, false);
    assert.equal("HEADLESS_SERVICE_HOST" in values, false);
    const six: Service = {
      metadata: { name: "six", namespace: "d" },
      spec: { clusterIP: "fd00::1", ports: [{ port: 80 }] },
    };
    const { SIX_PORT, SIX_SERVICE_HOST } = serviceVariables([six], "d", true);
    assert.deepEqual([SIX_PORT, SIX_SERVICE_HOST], ["tcp://[fd00::1]:80", "fd00::1"]);
    assert.deepEqual(
      Object.keys(serviceVariables(services, "d", false)).filter((key) => key.startsWith("MY_DB")),
      [],
    );
  });

  test("command and args are expanded with the container's environment", async () => {
    const container: Container = {
      name: "c",
      image: "i",
      command: ["run", "$(X)"],
      args: ["$(POD_IP):80"],
      env: [{ name: "X", value: "y" }],
      resources: { limits: { memory: "1Mi", cpu: "1500m" } },
    };
    const config = await containerConfig(
      facts,
      container,
      2,
      new Map([["my-vol", "/v"]]),
      [],
      source,
    );
    assert.deepEqual(config.command, ["run", "y"]);
    assert.deepEqual(config.args, ["127.64.0.1:80"]);
    assert.deepEqual(
      [config.memoryLimitBytes, config.cpuLimitMillis, config.attempt],
      [2 ** 20, 1500, 2],
    );
    assert.equal(config.env["TRIREME_VOLUME_MY_VOL"], "/v");
  });
});

describe("volumes", () => {
  const clock = new FakeClock();
  const asked: AccountTokenRequest[] = [];
  let away = false;
  const tokens = new AccountTokens(async (request) => {
    if (away) throw new Error("the API is away");
    asked.push(request);
    const expiresAtMillis = clock.wallMillis() + 1000 * request.expirationSeconds;
    return { token: `token-${asked.length}`, expiresAtMillis };
  }, clock);

  test("the token of the account is asked for once, and anew before it expires", async () => {
    const dir = await mkdtemp(join(tmpdir(), "trireme-tokens-"));
    const projection = { path: "token", expirationSeconds: 1000, audience: "vault" };
    const sources = [{ serviceAccountToken: projection }, { configMap: { name: "cm" } }];
    const volumes = [{ name: "access", projected: { sources, defaultMode: 0o440 } }];
    const withToken = { ...facts, pod: { ...pod, spec: { ...pod.spec, volumes } } };
    const token = async () => {
      await prepareVolumes(withToken, dir, source, tokens, false);
      return readFile(join(dir, "access", "token"), "utf8");
    };
    assert.equal(await token(), "token-1");
    assert.deepEqual(asked[0], {
      namespace: "d",
      serviceAccountName: "sa",
      podName: "p",
      podUid: "u",
      audience: "vault",
      expirationSeconds: 1000,
    });
    assert.equal((await stat(join(dir, "access", "token"))).mode & 0o777, 0o440);
    assert.equal(await readFile(join(dir, "access", "a"), "utf8"), "1");
    await clock.advance(799_000);
    assert.equal(await token(), "token-1");
    await clock.advance(1_000);
    away = true;
    assert.equal(await token(), "token-1", "an old one that is valid serves on");
    away = false;
    assert.equal(await token(), "token-2");
    away = true;
    await clock.advance(1_000_000);
    await assert.rejects(token(), /the API is away/);
    away = false;
    await rm(dir, { recursive: true });
  });

  test("content, modes, refresh at once, subPath; no way out of the directory", async () => {
    const dir = await mkdtemp(join(tmpdir(), "trireme-volumes-"));
    let data: Record<string, string> = { a: "1", b: "2" };
    const live = { ...source, configMap: async () => ({ data }) };
    const volumes: NonNullable<Pod["spec"]>["volumes"] = [
      { name: "cm", configMap: { name: "cm" } },
      {
        name: "sec",
        secret: { secretName: "s", items: [{ key: "password", path: "in/pw", mode: 0o400 }] },
      },
      { name: "tmp", emptyDir: {} },
      { name: "host", hostPath: { path: dir, type: "Directory" } },
      {
        name: "all",
        projected: {
          sources: [
            { configMap: { name: "cm" } },
            {
              downwardAPI: {
                items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }],
              },
            },
          ],
        },
      },
    ];
    const withVolumes = { ...facts, pod: { ...pod, spec: { volumes } } };
    const paths = await prepareVolumes(withVolumes, dir, live, tokens, false);
    const text = (...path: string[]) => readFile(join(dir, ...path), "utf8");
    assert.equal(await text("cm", "a"), "1");
    assert.equal(await text("sec", "in", "pw"), "geheim");
    assert.equal((await stat(join(dir, "sec", "in", "pw"))).mode & 0o777, 0o400);
    assert.match(await text("all", "labels"), /app="web"/);
    assert.equal(paths.get("host"), dir);

    data = { a: "3", c: "4" };
    await prepareVolumes(withVolumes, dir, live, tokens, false);
    assert.equal(await text("cm", "a"), "3");
    const names = (await readdir(join(dir, "cm"))).filter((name) => !name.startsWith(".."));
    assert.deepEqual(names.sort(), ["a", "c"]);

    const same = (value: string) => value;
    const [mount] = await mountsOf(
      [{ name: "tmp", mountPath: "/x/", subPath: "deep/er" }],
      paths,
      same,
    );
    assert.deepEqual(mount, {
      hostPath: join(dir, "tmp/deep/er"),
      containerPath: "/x/",
      readOnly: false,
    });
    await symlink("/etc", join(dir, "tmp", "out"));
    await symlink("deep", join(dir, "tmp", "in"));
    const part = async (more: VolumeMount, expandText = same) => {
      const asked = [{ name: "tmp", mountPath: "/x", ...more }];
      return (await mountsOf(asked, paths, expandText, {}, "c"))[0]?.hostPath;
    };
    assert.equal(await part({ subPath: "in/er" }), join(dir, "tmp/deep/er"));
    for (const subPath of ["out", "out/new", "out/ssl"]) {
      const why = `"tmp" of container "c": subPath "${subPath}" leads out of its volume`;
      await assert.rejects(part({ subPath }), {
        name: "ContainerConfigError",
        message: `failed to prepare subPath for volumeMount ${why}`,
      });
    }
    const expandName = (text: string) => expand(text, { NAME: "er", EMPTY: "" });
    assert.equal(await part({ subPathExpr: "deep/$(NAME)" }, expandName), join(dir, "tmp/deep/er"));
    await assert.rejects(part({ subPathExpr: "$(NO)/$(EMPTY)" }, expandName), {
      message: "missing value for EMPTY, NO",
    });
    const claim = { claimName: "c", readOnly: true };
    const readOnly: Pod = {
      spec: { volumes: [{ name: "tmp", persistentVolumeClaim: claim }, { name: "cm" }] },
    };
    const both = ["tmp", "cm"].map((name) => ({ name, mountPath: `/${name}` }));
    const mounts = await mountsOf(both, paths, same, readOnly);
    assert.deepEqual(
      mounts.map((each) => each.readOnly),
      [true, false],
    );
    await assert.rejects(
      mountsOf([{ name: "tmp", mountPath: "/x", subPath: "../.." }], paths, same),
      /must not/,
    );
    await assert.rejects(
      mountsOf([{ name: "no", mountPath: "/x" }], paths, same),
      /no volume is named "no"/,
    );
    const missing = { ...source, configMap: async () => undefined };
    await assert.rejects(
      prepareVolumes(withVolumes, join(dir, "m"), missing, tokens, false),
      /^ContainerConfigError: failed for volume "cm" : configmap ".*" not found$/,
    );
    const evil = { ...source, configMap: async () => ({ data: { "../../evil": "x" } }) };
    await assert.rejects(
      prepareVolumes(withVolumes, join(dir, "e"), evil, tokens, false),
      /must not contain/,
    );
    const host = (path: string, type?: string) => {
      const volume = { name: "h", hostPath: { path, ...(type !== undefined && { type }) } };
      const asking = { ...facts, pod: { ...pod, spec: { volumes: [volume] } } };
      return prepareVolumes(asking, dir, source, tokens, false);
    };
    const failed = (text: string) => ({
      message: `failed for volume "h" : hostPath type check failed: ${text}`,
    });
    const [file, none] = [join(dir, "file"), join(dir, "none")];
    await host(file, "FileOrCreate");
    await assert.rejects(host(file, "Directory"), failed(`${file} is not a directory`));
    await assert.rejects(host(dir, "File"), failed(`${dir} is not a file`));
    await assert.rejects(host(none, "Socket"), failed(`${none} is not a socket file`));
    await assert.rejects(host(none, "BlockDevice"), failed(`${none} is not a block device`));
    await host(none);
    assert.ok((await stat(none)).isDirectory(), "without a type it is made");
    const nfs = {
      ...facts,
      pod: { ...pod, spec: { volumes: [{ name: "n", nfs: { server: "s", path: "/" } }] } },
    };
    await assert.rejects(
      prepareVolumes(nfs, dir, source, tokens, false),
      /volume "n": nfs is not supported/,
    );
    await rm(dir, { recursive: true });
  });
});
