/**
 * A chart of the kind that operators of databases have: large definitions, rights, secrets from
 * values, a StatefulSet with claims and probes. The cases build on each other.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { TestCluster } from "../e2e/cluster.ts";
import { Helm } from "./helm-process.ts";
import { kubectl } from "./kubectl-process.ts";

const source = join(import.meta.dirname, "../examples/operator");
/** A directory with definitions of an operator's public chart, to be installed in place of ours. */
const given = process.env["OPERATOR_CRDS"];
const group = "data.example.com";
const kinds = ["Cluster", "Backup", "Database", "Account"];

export function operatorCases(cluster: TestCluster, program: string): void {
  suite(`an operator's chart, by ${program}`, () => {
    const directory = mkdtempSync(join(tmpdir(), "trireme-operator-"));
    const namespace = "infra";
    let helm: Helm;

    before(async () => {
      cpSync(source, directory, { recursive: true });
      if (given === undefined) writeDefinitions(join(directory, "crds"));
      else cpSync(given, join(directory, "crds"), { recursive: true });
      helm = new Helm(program, cluster.endpoints.kubeconfig, namespace);
    });
    after(() => {
      helm[Symbol.dispose]();
      rmSync(directory, { recursive: true, force: true });
    });

    const ok = async (line: string): Promise<string> => {
      const { code, out, err } = await helm.run(line.split(" "));
      assert.equal(code, 0, `helm ${line}\n${out}\n${err}${cluster.logs()}`);
      return out;
    };
    const run = (args: readonly string[], input?: string) =>
      kubectl(cluster.endpoints.kubeconfig, ["-n", namespace, ...args], input ? { input } : {});
    const kube = async (line: string, input?: string): Promise<string> => {
      const { code, out, err } = await run(line.split(" "), input);
      assert.equal(code, 0, `kubectl ${line}\n${out}\n${err}`);
      return out;
    };
    const password = (pod: string) => kube(`exec ${pod} -- printenv PASSWORD`);
    const ready = () => kube("get statefulset op -o jsonpath={.status.readyReplicas}");

    test("install --wait", async (context) => {
      const begin = performance.now();
      const out = await ok(
        `install op ${directory} --create-namespace --set password=first --wait --timeout 90s`,
      );
      const seconds = ((performance.now() - begin) / 1000).toFixed(1);
      context.diagnostic(`deployed after ${seconds} s`);
      assert.match(out, /^STATUS: deployed$/m);
      assert.equal(await ready(), "1");
      assert.equal(await kube("get pvc data-op-0 -o jsonpath={.status.phase}"), "Bound");
      assert.equal(await password("op-0"), "first\n");
      const crds = await kube("get crd -o name");
      assert.ok(crds.trim().split("\n").length >= kinds.length, crds);
      const who = `--as=system:serviceaccount:${namespace}:op`;
      assert.equal(await kube(`auth can-i list secrets ${who}`), "yes\n");
      assert.equal((await run(["auth", "can-i", "delete", "nodes", who])).out, "no\n");
    });

    // Of a public chart's definitions it is not known what they refuse.
    if (given === undefined) test("its kinds hold objects to their schemas", holdsToSchemas);

    async function holdsToSchemas(): Promise<void> {
      const object = (spec: object) => {
        const metadata = { name: "main" };
        return JSON.stringify({ apiVersion: `${group}/v1`, kind: "Cluster", metadata, spec });
      };
      await kube("create -f -", object({ plain: { plain: { amount: "1Gi" } } }));
      const { code, err } = await run(
        ["apply", "-f", "-"],
        object({ list: [{ plain: { amount: {} } }] }),
      );
      assert.notEqual(code, 0);
      assert.match(err, /spec\.list\[0\]\.plain\.amount/);
      await kube("delete cluster main");
    }

    test("upgrade and rollback", async () => {
      const more = "--set password=second,replicas=2 --wait --timeout 90s";
      await ok(`upgrade op ${directory} ${more}`);
      assert.equal(await ready(), "2");
      for (const pod of ["op-0", "op-1"]) assert.equal(await password(pod), "second\n");
      await ok("rollback op 1 --wait --timeout 90s");
      assert.equal(await ready(), "1");
      assert.equal(await password("op-0"), "first\n");
    });

    test("uninstall --wait leaves the definitions alone", async () => {
      await ok("uninstall op --wait --timeout 90s");
      const kindsLeft = "statefulset,service,secret,serviceaccount,controllerrevision";
      const left = (await kube(`get ${kindsLeft} -o name`)).trim().split("\n");
      assert.deepEqual(left, ["serviceaccount/default"]);
      assert.equal(await kube("get clusterrole,clusterrolebinding op --ignore-not-found"), "");
      // The claims go with their set, and the volumes with their claims.
      await kube("wait --for=delete pvc,pod --all --timeout=60s");
      await kube("delete namespace infra --timeout=60s");
      assert.equal(await ok("list --all-namespaces --filter ^op$ -q"), "");
    });
  });
}

/** The first kind's schema has more than a thousand nodes, as one with a pod's template has. */
function writeDefinitions(directory: string): void {
  mkdirSync(directory);
  for (const [i, kind] of kinds.entries()) {
    const singular = kind.toLowerCase();
    const plural = `${singular}s`;
    const names = { kind, listKind: `${kind}List`, plural, singular };
    const schema = {
      openAPIV3Schema: {
        type: "object",
        properties: { spec: deepSchema(i === 0 ? 8 : 3), status: deepSchema(2) },
      },
    };
    const version = {
      name: "v1",
      served: true,
      storage: true,
      schema,
      subresources: { status: {} },
    };
    const definition = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${group}` },
      spec: { group, names, scope: "Namespaced", versions: [version] },
    };
    writeFileSync(join(directory, `${plural}.yaml`), JSON.stringify(definition));
  }
}

function deepSchema(depth: number): object {
  const description = "What generated definitions say of every field, at the length of a sentence.";
  const amount = {
    anyOf: [{ type: "integer" }, { type: "string" }],
    "x-kubernetes-int-or-string": true,
  };
  const label = { description, type: "string", pattern: "^[a-z0-9.-]*$", maxLength: 253 };
  if (depth === 0) return { description, type: "object", properties: { amount, label } };
  const inner = deepSchema(depth - 1);
  const list = { description, type: "array", items: inner, "x-kubernetes-list-type": "atomic" };
  return { description, type: "object", properties: { amount, label, list, plain: inner } };
}
