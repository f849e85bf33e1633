/** Containers added to a running pod: by the API, and on the node. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PodSpec } from "../../proto/gen/core.ts";
import { documentBody } from "../../services/apiserver/verbs/mod.ts";
import { patchPart, updatePart } from "../../services/apiserver/verbs/part.ts";
import { type Document, ephemeralContainersPart } from "../../services/kinds/mod.ts";
import { adminCall, callAs, fails, kind, make, pod, world } from "../apiserver/harness.ts";
import { settle } from "./support.ts";
import { harness, main, podOf } from "./worker-harness.ts";

const debug = { name: "debug", image: "i", command: ["sh"], stdin: true, tty: true };

describe("the subresource", () => {
  async function patched(
    backend: Parameters<typeof patchPart>[0],
    containers: readonly object[],
    call = adminCall(),
  ) {
    const patch = Buffer.from(JSON.stringify({ spec: { ephemeralContainers: containers } }));
    const patchType = "application/strategic-merge-patch+json";
    const request = { name: "web", namespace: "default", patch, patchType };
    return patchPart(backend, call, kind("pod"), ephemeralContainersPart, request);
  }

  test("containers are added, defaulted, and nothing else changes", async () => {
    await using space = await world();
    const { backend } = space;
    await make(backend, pod("web"));
    const first = await patched(backend, [debug]);
    const second = await patched(backend, [{ ...debug, name: "more" }]);
    const spec = second.document["spec"] as PodSpec;
    assert.deepEqual(spec.ephemeralContainers?.map(({ name }) => name).toSorted(), [
      "debug",
      "more",
    ]);
    assert.equal(spec.ephemeralContainers?.[0]?.terminationMessagePath, "/dev/termination-log");
    assert.equal(spec.containers?.length, 1);
    const generation = (one: { document: Document }) => one.document.metadata?.generation ?? 0;
    assert.equal(generation(second), generation(first) + 1);
    // What else a body says is not taken.
    const body = documentBody({
      ...second.document,
      metadata: { name: "web", namespace: "default", labels: { a: "b" } },
      spec: { ...spec, hostname: "other", ephemeralContainers: spec.ephemeralContainers },
    });
    const third = await updatePart(backend, adminCall(), kind("pod"), ephemeralContainersPart, {
      body,
    });
    assert.equal(third.revision, second.revision);
  });

  const refused: [string, object, string | RegExp][] = [
    [
      "a port",
      { ports: [{ containerPort: 80 }] },
      "ports: Forbidden: cannot be set for an Ephemeral Container",
    ],
    ["resources", { resources: { limits: { cpu: "1" } } }, /resources: Forbidden: cannot be set/],
    ["a probe", { livenessProbe: { tcpSocket: { port: 1 } } }, /livenessProbe: Forbidden/],
    ["a hook", { lifecycle: { preStop: { exec: { command: ["x"] } } } }, /lifecycle: Forbidden/],
    ["no such target", { targetContainerName: "x" }, 'targetContainerName: Not found: "x"'],
    ["a name in use", { name: "main" }, 'name: Duplicate value: "main"'],
  ];
  for (const [name, change, message] of refused) {
    test(`refused: ${name}`, async () => {
      await using space = await world();
      await make(space.backend, pod("web"));
      const error = await fails(
        patched(space.backend, [{ ...debug, ...change }]),
        "invalidArgument",
        /^Pod "web" is invalid: /,
      );
      if (typeof message === "string") {
        assert.ok(error.message.includes(`spec.ephemeralContainers[0].${message}`), error.message);
      } else assert.match(error.message, message);
    });
  }

  test("refused: a change, a removal, no right, and a pod that has them at birth", async () => {
    await using space = await world();
    const { backend } = space;
    await make(backend, pod("web"));
    await patched(backend, [debug]);
    const changed = patched(backend, [{ ...debug, image: "other" }]);
    await fails(
      changed,
      "invalidArgument",
      /existing ephemeral containers "debug" may not be changed/,
    );
    const document = pod("web");
    const body = documentBody(document);
    const removed = updatePart(backend, adminCall(), kind("pod"), ephemeralContainersPart, {
      body,
    });
    await fails(
      removed,
      "invalidArgument",
      /existing ephemeral containers "debug" may not be removed/,
    );
    const denied = patched(backend, [debug], callAs("mallory"));
    await fails(denied, "permissionDenied", /cannot patch resource "pods\/ephemeralcontainers"/);
    const born = make(backend, pod("born", {}, { ephemeralContainers: [debug] }));
    await fails(
      born,
      "invalidArgument",
      /spec.ephemeralContainers: Forbidden: cannot be set on create/,
    );
  });
});

describe("on the node", () => {
  test("it starts beside the others, once, and has a status of its own", async () => {
    const spec = { containers: [main] };
    const { worker, runtime, begin, starts, status } = harness(podOf(spec));
    await begin();
    assert.deepEqual(starts(), ["start main/0"]);
    worker.update(podOf({ ...spec, ephemeralContainers: [debug] }));
    await settle();
    assert.deepEqual(starts(), ["start main/0", "start debug/0"]);
    const config = [...runtime.configs.values()].find(({ name }) => name === "debug");
    assert.deepEqual([config?.stdin, config?.tty, config?.command], [true, true, ["sh"]]);
    const [running] = status().ephemeralContainerStatuses ?? [];
    assert.ok(running?.state?.running);
    assert.deepEqual([running.ready, running.started], [false, undefined]);
    assert.equal(status().containerStatuses?.length, 1);
    runtime.end("debug", 3);
    await settle();
    const [ended] = status().ephemeralContainerStatuses ?? [];
    assert.equal(ended?.state?.terminated?.exitCode, 3);
    assert.equal(status().phase, "Running");
    assert.equal(starts().length, 2, "it is not started again");
  });

  test("it ends with the pod's work", async () => {
    const spec = { containers: [main], restartPolicy: "Never", ephemeralContainers: [debug] };
    const { runtime, begin, status } = harness(podOf(spec));
    await begin();
    runtime.end("main", 0);
    await settle();
    assert.equal(status().phase, "Succeeded");
    assert.ok(status().ephemeralContainerStatuses?.[0]?.state?.terminated);
  });
});
