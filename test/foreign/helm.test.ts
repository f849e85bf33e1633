/**
 * The real helm, version 3 and 4, with the chart of test/examples on a whole cluster: what a
 * release goes through in its life. The tests of one helm build on each other.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { TestCluster } from "../e2e/cluster.ts";
import { operatorCases } from "./helm-operator.ts";
import { Helm } from "./helm-process.ts";
import { kubectl, type Outcome } from "./kubectl-process.ts";
import { needs, needsBuilt } from "./needs.ts";

const chart = join(import.meta.dirname, "../examples/chart");
const versions = [
  {
    program: "helm-v3",
    module: "helm.sh/helm/v3/cmd/helm",
    rollBackOnFailure: "--atomic",
    listAll: "--all",
  },
  {
    program: "helm-v4",
    module: "helm.sh/helm/v4/cmd/helm",
    rollBackOnFailure: "--rollback-on-failure",
    // All statuses unless told otherwise.
    listAll: "",
  },
].map((version) => ({ ...version, needs: needsBuilt(version.program, version.module) }));
const reasons = [needs("kubectl", "kubernetes-client").skip, ...versions.map((v) => v.needs.skip)];
const [withoutKubectl, ...withoutHelm] = reasons;
const skip = withoutKubectl || (withoutHelm.includes(false) ? false : withoutHelm.join("; "));

suite("helm", { skip }, () => {
  const cluster = new TestCluster();
  before(() => cluster.up(["--masters", "1", "--nodes", "1"]));
  after(() => cluster.close());

  for (const { program, needs, rollBackOnFailure, listAll } of versions) {
    suite(program, needs, () => {
      const namespace = program;
      let helm: Helm;
      /** Whether controllers run Jobs, and StatefulSets; until they do, the server warns of them. */
      let jobs: boolean;
      let sets: boolean;
      /** The values of what can be waited for. */
      let parts: string;

      before(async () => {
        const { kubeconfig } = cluster.endpoints;
        helm = new Helm(program, kubeconfig, namespace);
        const runs = async (template: string) => {
          const input = await ok(`template probe ${chart} --show-only templates/${template}`);
          const tried = ["create", "--dry-run=server", "--validate=false", "-f", "-"];
          const { code, err } = await kubectl(kubeconfig, tried, { input });
          assert.equal(code, 0, err);
          return !/no controller of this cluster/.test(err);
        };
        await kube(`create namespace ${namespace}`);
        jobs = await runs("pre-install.yaml");
        sets = await runs("store.yaml");
        parts = `--set hooks.enabled=${jobs},store.enabled=${sets}`;
      });
      after(() => helm[Symbol.dispose]());

      const ok = async (line: string): Promise<string> => {
        const { code, out, err } = await helm.run(line.split(" ").filter((word) => word !== ""));
        assert.equal(code, 0, `helm ${line}\n${out}\n${err}${cluster.logs()}`);
        return out;
      };
      const fails = async (line: string, words: RegExp): Promise<Outcome> => {
        const outcome = await helm.run(line.split(" ").filter((word) => word !== ""));
        assert.notEqual(outcome.code, 0, `helm ${line}\n${outcome.out}`);
        assert.match(outcome.err, words);
        return outcome;
      };
      const kube = async (line: string, input?: string): Promise<string> => {
        const args = ["-n", namespace, ...line.split(" ")];
        const { kubeconfig } = cluster.endpoints;
        const { code, out, err } = await kubectl(kubeconfig, args, input ? { input } : {});
        assert.equal(code, 0, `kubectl ${line}\n${out}\n${err}`);
        return out;
      };
      const greeting = () => kube("get configmap site-shelf -o jsonpath={.data.greeting}");

      test("install --wait: definitions first, hooks, and then all that the chart has", async () => {
        const out = await ok(`install site ${chart} ${parts} --wait --timeout 90s`);
        assert.match(out, /^STATUS: deployed$/m);
        assert.match(out, /site greets with "hello" \(revision 1\)/);
        assert.equal(await kube("get deploy site-shelf -o jsonpath={.status.readyReplicas}"), "1");
        if (sets) {
          const readyReplicas = "-o jsonpath={.status.readyReplicas}";
          assert.equal(await kube(`get sts site-shelf-store ${readyReplicas}`), "1");
        }
        if (jobs) {
          assert.equal(await kube("get jobs -o name"), "job.batch/site-shelf-pre\n");
          assert.match(await kube("logs job/site-shelf-pre"), /^pre hello$/m);
        }
        assert.equal(
          await kube("get books -o custom-columns=N:.metadata.name,P:.spec.pages --no-headers"),
          "site-first   100\n",
        );
        const made =
          "serviceaccount,role,rolebinding,secret,service,shelf,reader,loan/site-shelf".split("/");
        const [kinds = "", name] = made;
        for (const kind of kinds.split(",")) await kube(`get ${kind} ${name}`);
        await kube(`get clusterrole ${namespace}-site-shelf`);
      });

      test("list, status, get", async () => {
        assert.match(await ok("list"), new RegExp(`^site\\s+${namespace}\\s+1\\s.*deployed`, "m"));
        const { info, version } = JSON.parse(await ok("status site -o json"));
        assert.deepEqual([info.status, version], ["deployed", 1]);
        assert.match(await ok("get values site --all -o yaml"), /^greeting: hello$/m);
        assert.match(await ok("get manifest site"), /^kind: Deployment$/m);
        assert.match(await ok("get hooks site"), /^ {2}name: site-shelf-test$/m);
        assert.match(await ok("get notes site"), /greets with/);
        await fails(`install site ${chart}`, /cannot re-?use a name that is still in use/);
      });

      test("test runs the test hook, and shows what it said", async () => {
        const out = await ok("test site --logs --timeout 60s");
        assert.match(out, /^Phase: +Succeeded$/m);
        assert.match(out, /it says hello/);
      });

      test("upgrade changes, adds and removes objects", async () => {
        const more = "books[0].name=second,books[0].title=Another";
        await ok(`upgrade site ${chart} ${parts},greeting=hi,${more} --wait --timeout 90s`);
        assert.equal(await greeting(), "hi");
        assert.equal(await kube("get books -o name"), "book.library.example.com/site-second\n");
        assert.equal(await kube("get book site-second -o jsonpath={.spec.pages}"), "1");
        await ok(`upgrade site ${chart} --reuse-values --set replicas=2 --wait --timeout 90s`);
        assert.equal(await greeting(), "hi");
        assert.equal(await kube("get deploy site-shelf -o jsonpath={.status.readyReplicas}"), "2");
        const values = JSON.parse(await ok("get values site -o json"));
        assert.deepEqual([values.greeting, values.replicas], ["hi", 2]);
      });

      test("a failed upgrade stays in the history, and is rolled back when asked to", async () => {
        const bad = "--reuse-values --set books[0].name=bad,books[0].title=Bad,books[0].pages=-1";
        await fails(
          `upgrade site ${chart} ${bad}`,
          /spec\.pages in body should be greater than or equal to 1/,
        );
        const [failed] = JSON.parse(await ok(`list ${listAll} -o json`));
        assert.deepEqual([failed.status, failed.revision], ["failed", "4"]);
        const never = `--reset-values ${parts},probePort=8081,greeting=never,replicas=2`;
        await fails(
          `upgrade site ${chart} ${never} ${rollBackOnFailure} --wait --timeout 10s`,
          /release site failed, and has been rolled back/,
        );
        assert.equal(await greeting(), "hi");
        const [latest] = JSON.parse(await ok("list -o json"));
        assert.deepEqual([latest.status, latest.revision], ["deployed", "6"]);
      });

      test("a hook that fails stops the upgrade", async (context) => {
        if (!jobs) return context.skip("no controller of this cluster runs Jobs");
        await fails(
          `upgrade site ${chart} --reuse-values --set hooks.exitCode=3,greeting=unseen --timeout 60s`,
          /pre-upgrade hooks failed/,
        );
        assert.equal(await greeting(), "hi");
      });

      test("rollback and history", async () => {
        await ok("rollback site 1 --wait --timeout 90s");
        assert.equal(await greeting(), "hello");
        assert.equal(await kube("get books -o name"), "book.library.example.com/site-first\n");
        assert.equal(await kube("get deploy site-shelf -o jsonpath={.spec.replicas}"), "1");
        const rows: { description: string }[] = JSON.parse(await ok("history site -o json"));
        assert.equal(rows.length, jobs ? 8 : 7);
        assert.equal(rows[0]?.description, "Install complete");
        assert.equal(rows.at(-1)?.description, "Rollback to 1");
      });

      test("uninstall --wait leaves nothing but the definitions", async () => {
        assert.match(await ok("uninstall site --wait --timeout 60s"), /release "site" uninstalled/);
        const kinds =
          "deploy,sts,svc,books,readers,loans,shelves,role,rolebinding,secret -o name".split(" ");
        assert.equal(await kube(`get ${kinds.join(" ")}`), "");
        assert.match(await kube("get crd -o name"), /books\.library\.example\.com/);
        assert.equal(await ok(`list ${listAll} -q`), "");
        await fails("status site", /release: not found/);
      });

      test("install --dry-run=server renders against the cluster, and writes nothing", async () => {
        // Helm 3 reads the definitions from the server, where the release before has left them.
        const out = await ok(`install site ${chart} --dry-run=server`);
        assert.match(out, new RegExp(`The namespace ${namespace} is there`));
        assert.match(out, /StatefulSets are served/);
        assert.equal(await kube("get secrets -l owner=helm -o name"), "");
        assert.equal(await ok("list -q"), "");
      });

      test("upgrade --install, and uninstall --keep-history", async () => {
        await ok(`upgrade --install again ${chart} ${parts}`);
        await ok("uninstall again --keep-history");
        assert.match(await ok("list --uninstalled -q"), /^again$/m);
        await ok("rollback again 1");
        await ok("uninstall again");
      });

      test("what `helm template` writes, kubectl applies by client and by server", async () => {
        const manifest = await ok(`template piped ${chart} --no-hooks`);
        for (const how of ["", " --server-side --force-conflicts"]) {
          const first = await kube(`apply${how} -f -`, manifest);
          assert.match(first, /^book\.library\.example\.com\/piped-first /m);
          assert.match(first, /^deployment\.apps\/piped-shelf /m);
          const again = await kube(`apply${how} -f -`, manifest);
          if (how === "") assert.ok(!/(created|configured)$/m.test(again), again);
          else assert.ok(!/(?<!serverside-applied)$/m.test(again.trimEnd()), again);
          assert.equal(await kube(`diff${how} -f -`, manifest), "");
        }
        await kube("delete --ignore-not-found -f -", manifest);
      });
    });
  }

  const [usable] = versions.filter(({ needs }) => needs.skip === false);
  if (usable !== undefined) operatorCases(cluster, usable.program);
});
