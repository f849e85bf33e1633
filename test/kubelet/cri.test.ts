/** What the kubelet makes of a CRI runtime without one: names, secrets, logs, layouts. */
import assert from "node:assert/strict";
import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ContainerState } from "../../proto/gen/cri.ts";
import { pullSecrets } from "../../services/kubelet/pod/pull-secrets.ts";
import { readCriLog } from "../../services/kubelet/runtime/cri/logs.ts";
import { createCriRuntime } from "../../services/kubelet/runtime/cri/mod.ts";
import { knownContainer } from "../../services/kubelet/runtime/cri/records.ts";
import { parseImageMap } from "../../services/kubelet/runtime/image-map.ts";
import {
  checkReference,
  fullReference,
  withoutTagOfDigest,
} from "../../services/kubelet/runtime/image-reference.ts";
import { chooseRuntime } from "../../services/kubelet/runtime-flags.ts";
import { patienceMillis } from "../patience.ts";
import { silent } from "./support.ts";

const digest = `sha256:${"a".repeat(64)}`;

describe("image references", () => {
  test("are completed as registries' clients complete them", () => {
    const cases = {
      busybox: "docker.io/library/busybox:latest",
      "busybox:1.36": "docker.io/library/busybox:1.36",
      "team/app": "docker.io/team/app:latest",
      "localhost/app:1": "localhost/app:1",
      "registry:5000/app": "registry:5000/app:latest",
      "quay.io/a/b/c:2": "quay.io/a/b/c:2",
      [`busybox@${digest}`]: `docker.io/library/busybox@${digest}`,
    };
    for (const [short, full] of Object.entries(cases)) assert.equal(fullReference(short), full);
    const both = fullReference(`quay.io/app:1@${digest}`);
    assert.equal(withoutTagOfDigest(both), `quay.io/app@${digest}`);
    assert.equal(withoutTagOfDigest("registry:5000/app:1"), "registry:5000/app:1");
  });

  test("that are none are refused", () => {
    for (const bad of ["", "Big", "a b", "a:b:c", "a@sha256:1", "/a", "x".repeat(5_000)]) {
      assert.throws(() => checkReference(bad), /invalid reference format/, bad);
    }
  });
});

describe("imagePullSecrets", () => {
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64");
  const auth = (text: string) => ({ auth: Buffer.from(text).toString("base64") });
  const secrets: Record<string, object> = {
    config: {
      data: {
        ".dockerconfigjson": encoded({
          auths: {
            "https://index.docker.io/v1/": auth("hub:secret:with:colons"),
            "*.example.com": { username: "any", password: "1" },
            "quay.io/team": { username: "team", password: "2", identitytoken: "t" },
            "quay.io": { username: "quay", password: "3" },
          },
        }),
      },
    },
    old: { data: { ".dockercfg": encoded({ "registry:5000": auth("o:p") }) } },
    broken: { data: { ".dockerconfigjson": Buffer.from("{").toString("base64") } },
  };
  const source = { secret: async (_: string, name: string) => secrets[name] };
  const found = async (image: string, ...names: string[]) => {
    const imagePullSecrets = names.map((name) => ({ name }));
    const pod = { metadata: { namespace: "d" }, spec: { imagePullSecrets, containers: [] } };
    const { credentials, missing } = await pullSecrets(pod, image, source);
    return {
      users: credentials.map(({ username, password }) => `${username}/${password}`),
      missing,
    };
  };

  test("are chosen by the image's registry, the longest place first", async () => {
    const users = async (image: string) => (await found(image, "config", "old")).users;
    assert.deepEqual(await users("busybox"), ["hub/secret:with:colons"]);
    assert.deepEqual(await users("quay.io/team/app"), ["team/2", "quay/3"]);
    assert.deepEqual(await users("quay.io/other/app"), ["quay/3"]);
    assert.deepEqual(await users("eu.example.com/app"), ["any/1"]);
    assert.deepEqual(await users("a.eu.example.com/app"), []);
    assert.deepEqual(await users("registry:5000/app"), ["o/p"]);
    assert.deepEqual(await users("registry:5001/app"), []);
  });

  test("that are not there or of no use are told", async () => {
    assert.deepEqual(await found("busybox", "none", "broken"), {
      users: [],
      missing: ["none", "broken"],
    });
  });
});

describe("CRI logs", () => {
  const line = (second: number, tag: string, text: string, stream = "stdout") =>
    `2026-01-01T00:00:0${second}.000000001Z ${stream} ${tag} ${text}\n`;
  const written = [
    line(1, "F", "one"),
    line(2, "P", "two, "),
    line(2, "P:x", "a long "),
    line(3, "F", "one", "stderr"),
    line(4, "F", ""),
  ].join("");

  async function withLog(
    act: (path: string, read: (more?: object) => Promise<string>) => Promise<void>,
  ) {
    const dir = await mkdtemp(join(tmpdir(), "trireme-cri-logs-"));
    const path = join(dir, "0.log");
    await writeFile(path, written);
    const read = async (more: object = {}) => {
      const pieces: Uint8Array[] = [];
      const options = { follow: false, signal: AbortSignal.timeout(patienceMillis), ...more };
      for await (const piece of readCriLog(path, options, () => true)) pieces.push(piece);
      return Buffer.concat(pieces).toString();
    };
    try {
      await act(path, read);
    } finally {
      await rm(dir, { recursive: true });
    }
  }

  test("lines and their parts are put together", () =>
    withLog(async (_, read) => {
      assert.equal(await read(), "one\ntwo, a long one\n\n");
      assert.equal(await read({ tailLines: 2 }), "two, a long one\n\n");
      assert.equal(await read({ tailLines: 1 }), "\n");
      assert.equal(await read({ tailLines: 0 }), "");
      assert.equal(await read({ tailLines: 99 }), await read());
      assert.equal(await read({ limitBytes: 6 }), "one\ntw");
      assert.equal(await read({ sinceMillis: Date.parse("2026-01-01T00:00:04Z") }), "\n");
      const time = "2026-01-01T00:00:02.000000001Z";
      assert.equal(
        await read({ timestamps: true, tailLines: 2 }),
        `${time} two, a long one\n2026-01-01T00:00:04.000000001Z \n`,
      );
    }));

  test("a log is followed over a rotation to its end", () =>
    withLog(async (path) => {
      let ended = false;
      const signal = AbortSignal.timeout(patienceMillis);
      let text = "";
      let step = 0;
      for await (const piece of readCriLog(path, { follow: true, signal }, () => ended)) {
        text += Buffer.from(piece).toString();
        step += 1;
        if (step === 1) {
          await rename(path, `${path}.1`);
          await appendFile(`${path}.1`, line(5, "F", "late"));
          await writeFile(path, line(6, "F", "new"));
        }
        if (text.includes("new")) ended = true;
      }
      assert.equal(text, "one\ntwo, a long one\n\nlate\nnew\n");
    }));

  test("what is no such line is given as it is, and none is not found", () =>
    withLog(async (path, read) => {
      await writeFile(path, "odd\n");
      assert.equal(await read(), "odd\n");
      await rm(path);
      await assert.rejects(read(), /no log yet/);
      await writeFile(path, "");
    }));
});

describe("the map of images", () => {
  test("names programs, with words as a shell cuts them", () => {
    const map = parseImageMap([
      "nginx=node /srv/web.js --port 80",
      `quay.io/tool:2=sh -c 'echo "two words" \\$x' "a \\" b" c\\ d ""`,
    ]);
    assert.deepEqual(map("nginx:1.27"), ["node", "/srv/web.js", "--port", "80"]);
    assert.deepEqual(map("docker.io/library/nginx"), map("nginx:1.27"));
    const words = ["sh", "-c", 'echo "two words" \\$x', 'a " b', "c d", ""];
    assert.deepEqual(map("quay.io/tool:2"), words);
    assert.equal(map("quay.io/tool:3"), undefined);
    assert.equal(map("other"), undefined);
    for (const bad of ["nginx", "=sh", "nginx= ", "nginx=sh 'a"]) {
      assert.throws(() => parseImageMap([bad]), /--image-map: /, bad);
    }
    assert.throws(() => parseImageMap(["a=b", "a=c"]), /mapped twice/);
  });
});

describe("the choice of a runtime", () => {
  const choose = (endpoint: string | undefined, map: string[] = [], size = "10Mi", files = 5) =>
    chooseRuntime(
      {
        ...{ "container-runtime-endpoint": endpoint, "image-root": undefined, "image-map": map },
        ...{ "container-log-max-size": size, "container-log-max-files": files },
      },
      "/nowhere",
      silent,
    );

  test("a flag that makes no sense is refused by name", () => {
    const sized = (size: string, files: number) => () => choose(undefined, [], size, files);
    assert.throws(sized("x", 5), /--container-log-max-size: "x" is no quantity above 0/);
    assert.throws(sized("0", 5), /--container-log-max-size/);
    assert.throws(sized("1Mi", 1), /--container-log-max-files: 1 is not within 2/);
    assert.throws(
      () => choose("tcp://127.0.0.1:1"),
      /--container-runtime-endpoint "tcp:\/\/127.0.0.1:1": wanted is unix:\/\//,
    );
    assert.throws(
      () => choose("unix:///a.sock", ["a=b"]),
      /--image-map is for pods that are processes/,
    );
    assert.equal(choose(undefined).name, "process");
  });

  test("a runtime that does not answer makes a node that is not ready, and says why", async () => {
    const runtime = createCriRuntime({
      endpoint: "unix:///nowhere/at-all.sock",
      logRoot: "/nowhere/logs",
      seccompRoot: "/nowhere/seccomp",
      log: silent,
    });
    const { runtimeReady } = await runtime.status();
    assert.ok(runtimeReady !== true);
    assert.equal(runtimeReady.reason, "ContainerRuntimeDown");
    assert.match(runtimeReady.message, /container runtime is down: .*at-all.sock/);
    await runtime.close();
  });
});

test("a container's start is never later than its end", () => {
  const item = { id: "c", podSandboxId: "s", labels: {} };
  const times = (startedAt: bigint, finishedAt: bigint, state: ContainerState) => {
    const status = { id: "c", state, createdAt: 1_000_000n, startedAt, finishedAt };
    const { container } = knownContainer(item, status);
    return [container.startedAt, container.finishedAt];
  };
  const { CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;
  assert.deepEqual(times(7_000_000n, 5_000_000n, CONTAINER_EXITED), [5, 5]);
  assert.deepEqual(times(3_000_000n, 5_000_000n, CONTAINER_EXITED), [3, 5]);
  assert.deepEqual(times(3_000_000n, 0n, CONTAINER_RUNNING), [3, undefined]);
  assert.deepEqual(times(0n, 5_000_000n, CONTAINER_EXITED), [undefined, 5], "it never ran");
});
