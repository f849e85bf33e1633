/**
 * The rest of kubectl's commands against an apiserver in this process: those that change many
 * objects at once, ask about rights, tend nodes, or work without a server at all.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { certificateRequest } from "../kinds/certificate-requests.ts";
import { patienceMillis } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { kubeconfigFile } from "../rest/kubeconfig.ts";
import { kubectl } from "./kubectl-process.ts";
import { needs } from "./needs.ts";

const configMap = (name: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, labels: {prune: "yes"}}\n`;

suite("kubectl, further commands", {
  ...needs("kubectl", "kubernetes-client"),
  concurrency: 4,
}, () => {
  let world: RestWorld;
  let config: Awaited<ReturnType<typeof kubeconfigFile>>;

  before(async () => {
    world = await restWorld();
    config = await kubeconfigFile(world);
  });
  after(async () => {
    await config[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  type Options = Parameters<typeof kubectl>[2];
  const run = (line: string, options?: Options) => kubectl(config.file, line.split(" "), options);
  const ok = async (line: string, options?: Options): Promise<string> => {
    const { code, out, err } = await run(line, options);
    assert.equal(code, 0, `kubectl ${line}\n${out}\n${err}`);
    return out;
  };
  const fails = async (line: string, words: RegExp): Promise<void> => {
    const { code, out, err } = await run(line);
    assert.notEqual(code, 0, `kubectl ${line}\n${out}`);
    assert.match(err, words);
  };
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(dirname(config.file), name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    return path;
  };

  test("apply --prune, by labels and by applyset", async () => {
    const both = await file("both.yaml", `${configMap("p1")}---\n${configMap("p2")}`);
    const one = await file("one.yaml", configMap("p1"));
    const pruning = "--prune -l prune=yes --prune-allowlist=core/v1/ConfigMap";
    await ok("create namespace prune");
    await ok(`-n prune apply -f ${both}`);
    assert.match(await ok(`-n prune apply -f ${one} ${pruning}`), /configmap\/p2 pruned/);
    await ok("create namespace sets");
    const options = { env: { KUBECTL_APPLYSET: "true" } };
    await ok(`-n sets apply -f ${both} --prune --applyset=mine`, options);
    const parent = await ok("-n sets get secret mine -o yaml");
    assert.match(parent, /applyset.kubernetes.io\/contains-group-kinds: ConfigMap/);
    const pruned = await ok(`-n sets apply -f ${one} --prune --applyset=mine`, options);
    assert.match(pruned, /configmap\/p1 unchanged\nconfigmap\/p2 pruned/);
  });

  test("apply -k, kustomize, get -k, diff -k, delete -k", async () => {
    const at = await file(
      "kustomized/kustomization.yaml",
      "namePrefix: kz-\nresources: [base.yaml]\nconfigMapGenerator: [{name: gen, literals: [a=b]}]\n",
    );
    await file("kustomized/base.yaml", configMap("base"));
    const directory = dirname(at);
    assert.match(await ok(`kustomize ${directory}`), /name: kz-base\n/);
    assert.match(await ok(`apply -k ${directory}`), /configmap\/kz-gen-\w+ created/);
    assert.match(await ok(`get -k ${directory} -o name`), /configmap\/kz-base/);
    assert.equal(await ok(`diff -k ${directory}`), "");
    assert.match(await ok(`delete -k ${directory}`), /configmap "kz-base" deleted/);
  });

  test("auth reconcile", async () => {
    const rules = (verbs: string) =>
      `apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: reading}\nrules: [{apiGroups: [""], resources: [pods], verbs: [${verbs}]}]\n`;
    const first = await file("rules.yaml", rules("get, list"));
    const reconcile = async (line: string) => (await run(`auth reconcile -f ${line}`)).err;
    assert.match(await reconcile(first), /reconciliation required create/);
    const second = await file("rules2.yaml", rules("get, watch"));
    const said = await reconcile(`${second} --remove-extra-permissions`);
    assert.match(said, /missing rules added:\n\s+\{Verbs:\[watch\]/);
    assert.match(said, /extra rules removed:\n\s+\{Verbs:\[list\]/);
  });

  test("certificate approve and deny", async () => {
    const request = await certificateRequest("CN=carl, O=devs");
    const csr = (name: string) =>
      `apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: ${name}}\nspec: {request: ${request}, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}\n`;
    await ok(`apply -f ${await file("csr.yaml", `${csr("first")}---\n${csr("second")}`)}`);
    await ok("certificate approve first");
    assert.match(await ok("get csr first"), /admin +<none> +Approved/);
    await fails(
      "certificate deny first",
      /certificate signing request "first" is already Approved/,
    );
    await ok("certificate deny second");
    assert.match(await ok("get csr second"), /Denied/);
  });

  test("set selector, serviceaccount and subject", async () => {
    await ok("create deployment sets --image=a");
    await ok("expose deployment sets --port=80");
    await ok("set selector service sets app=other");
    assert.match(await ok("get service sets -o wide"), /app=other$/m);
    await ok("create serviceaccount robot");
    await ok("set serviceaccount deployment sets robot");
    const path = "jsonpath={.spec.template.spec.serviceAccountName}";
    assert.equal(await ok(`get deployment sets -o ${path}`), "robot");
    await ok("create clusterrolebinding viewers --clusterrole=view --user=a");
    await ok(
      "set subject clusterrolebinding viewers --user=b --group=g --serviceaccount=default:s",
    );
    assert.match(await ok("get clusterrolebinding viewers -o wide"), /a, b +g +default\/s/);
  });

  test("taint, cordon, uncordon, drain of an empty node", async () => {
    await ok("create -f -", { input: "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n" });
    assert.match(await ok("taint node n1 a=b:NoSchedule"), /node\/n1 tainted/);
    await fails("taint node n1 a=c:NoSchedule", /already has a taint/);
    await ok("taint node n1 a=c:NoSchedule --overwrite");
    assert.match(await ok("taint node n1 a-"), /node\/n1 untainted/);
    assert.match(await ok("cordon n1"), /node\/n1 cordoned/);
    assert.match(await ok("get node n1"), /SchedulingDisabled/);
    assert.match(await ok("drain n1"), /node\/n1 drained/);
    assert.match(await ok("uncordon n1"), /node\/n1 uncordoned/);
  });

  test("wait for creation, and for several conditions; the events of a watch", async () => {
    const created = ok("wait --for=create configmap/later --timeout=20s");
    const watching = spawn(
      "kubectl",
      [
        ...["--kubeconfig", config.file, "get", "configmaps", "--watch", "--output-watch-events"],
        ...["--field-selector", "metadata.name=later"],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let seen = "";
    const all = Promise.withResolvers<void>();
    watching.stdout.on("data", (piece: Buffer) => {
      seen += piece.toString();
      if (seen.includes("DELETED")) all.resolve();
    });
    watching.once("close", all.resolve);
    await ok("create configmap later --from-literal=a=b");
    assert.match(await created, /configmap\/later condition met/);
    const value = "--for=jsonpath={.data.a}=b";
    assert.match(await ok(`wait ${value} configmap/later --timeout=5s`), /condition met/);
    await ok("label configmap later x=y");
    // A watch that began late sees the object as it is, and its end all the same.
    for (const deadline = Date.now() + patienceMillis; !seen.includes("later"); ) {
      assert.ok(Date.now() < deadline, "the watch saw nothing");
      await ok("annotate configmap later n=1 --overwrite");
    }
    await ok("delete configmap later");
    await all.promise;
    watching.kill();
    assert.match(seen, /DELETED +later/);
    await fails("wait --for=condition=Foo namespace/default --timeout=1s", /timed out waiting/);
  });

  test("replace --force, diff --server-side, patches and scales that do not fit", async () => {
    const at = await file("forced.yaml", configMap("forced"));
    await ok(`create -f ${at}`);
    assert.match(
      await ok(`replace --force -f ${at}`),
      /"forced" deleted\nconfigmap\/forced replaced/,
    );
    await file("forced.yaml", `${configMap("forced")}data: {new: "1"}\n`);
    const { code, out } = await run(`diff --server-side -f ${at}`);
    assert.equal(code, 1);
    assert.match(out, /^\+ {2}new: "1"/m);
    await ok("create deployment fits --image=a --replicas=2");
    const test = '[{"op":"test","path":"/spec/replicas","value":9}]';
    await fails(
      `patch deployment fits --type=json -p ${test}`,
      /^The request is invalid: the server rejected our request due to an error in our request$/m,
    );
    await fails("scale deployment fits --replicas=3 --current-replicas=5", /to be 5, was 2/);
    await fails("scale deployment fits --replicas=3 --resource-version=1", /version to be 1/);
    const scale = await ok("get deployment fits --subresource=scale");
    assert.match(scale, /^NAME +DESIRED +AVAILABLE +AGE\nfits +2 +0 /);
    const patch = '{"spec":{"replicas":4}}';
    const patched = await ok(`patch deployment fits --subresource=scale --type=merge -p ${patch}`);
    assert.match(patched, /^scale.autoscaling\/fits patched/);
  });

  test("proxy, with a prefix and the paths that it takes", async () => {
    const proxy = spawn(
      "kubectl",
      [
        ...["--kubeconfig", config.file, "proxy", "--port=0", "--api-prefix=/k/"],
        "--accept-paths=^/api/.*",
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    try {
      const piece = await new Promise<Buffer>((resolve) => proxy.stdout.once("data", resolve));
      const origin = `http://127.0.0.1:${/:(\d+)/.exec(piece.toString())?.[1]}`;
      const answer = await fetch(`${origin}/k/api/v1/namespaces/default`);
      assert.equal(((await answer.json()) as { kind: string }).kind, "Namespace");
      assert.equal((await fetch(`${origin}/k/apis`)).status, 403);
    } finally {
      proxy.kill();
    }
  });

  test("events, of one object and of one type; cluster-info dump", async () => {
    const event = (name: string, type: string) =>
      `apiVersion: v1\nkind: Event\nmetadata: {name: ${name}, namespace: default}\ninvolvedObject: {kind: Pod, name: ${name}, namespace: default, apiVersion: v1}\ntype: ${type}\nreason: Tried\nmessage: told\nlastTimestamp: "2026-01-01T00:00:00Z"\n`;
    const input = `${event("good", "Normal")}---\n${event("bad", "Warning")}`;
    await ok("create -f -", { input });
    assert.match(await ok("events --for pod/good"), /Normal +Tried +Pod\/good +told/);
    assert.doesNotMatch(await ok("events --types=Warning"), /Pod\/good/);
    assert.match(await ok("get events --sort-by=.lastTimestamp"), /pod\/bad/);
    const dump = await ok("cluster-info dump --namespaces default");
    assert.match(dump, /"kind": "NodeList"/);
    assert.match(dump, /"kind": "EventList"/);
  });

  test("explain in the old form, api-resources by what they can do, config", async () => {
    const said = await ok("explain pod.spec.containers --output plaintext-openapiv2");
    assert.match(said, /^RESOURCE: containers <\[\]Object>$/m);
    await fails("explain pod.nothing", /field "nothing" does not exist/);
    const sorted = await ok(
      "api-resources --verbs=list,get --api-group=apps --sort-by=name -o name",
    );
    assert.match(sorted, /^controllerrevisions.apps\ndaemonsets.apps\ndeployments.apps\n/);
    assert.match(await ok("config view --minify"), /current-context:/);
    assert.match(await ok("version -o json"), /"serverVersion"/);
  });
});
