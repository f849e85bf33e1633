/**
 * Kubernetes' own client libraries for Go, client-go and controller-runtime, unchanged: the checks
 * of kubernetes-clients/ on an apiserver and a node in this process.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { kubectl } from "./kubectl-process.ts";
import { needs, needsBuilt } from "./needs.ts";
import { nodeWorld } from "./node-world.ts";

const program = "kubernetes-clients";
const millisMax = 180_000;
const checksMin = 14;

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: server}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: node
    command: [node, -e]
    args:
    - |
      console.log("starting");
      require("node:http")
        .createServer((request, response) => response.end("served\\n"))
        .listen(8080, process.env.POD_IP, () => console.log("ready"));
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
`;

const missing = [needs("kubectl", "kubernetes-client"), needsBuilt(program, "k8s.io/client-go")];
const skip = missing.find((each) => each.skip !== false)?.skip ?? false;

suite("client-go and controller-runtime", { skip }, () => {
  test("every check", async (context) => {
    await using node = await nodeWorld();
    for (const args of [
      ["apply", "-f", "-"],
      ["wait", "--for=condition=Ready", "pod/server", "--timeout=60s"],
    ]) {
      const { code, out, err } = await kubectl(node.kubeconfig, args, { input: pod });
      assert.equal(code, 0, `${out}${err}`);
    }
    const child = spawn(program, [node.kubeconfig, "server"], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: millisMax,
    });
    const complaint = text(child.stderr);
    const ended = new Promise((resolve) => child.once("close", resolve));
    let count = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const { name, error } = JSON.parse(line) as { name: string; error?: string };
      count++;
      await context.test(name, () => assert.equal(error, undefined));
    }
    assert.equal(await ended, 0, await complaint);
    assert.ok(count >= checksMin, `only ${count} checks: ${await complaint}`);
  });
});
