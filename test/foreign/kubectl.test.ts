/** The real kubectl against an apiserver in this process. Each line is one command line. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { patienceMillis } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { kubeconfigFile } from "../rest/kubeconfig.ts";
import { kubectl, type Outcome } from "./kubectl-process.ts";
import { needs } from "./needs.ts";

const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: web, labels: {app: web}}
data: {a: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
`;

suite("kubectl", needs("kubectl", "kubernetes-client"), () => {
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

  const run = (line: string, options?: Parameters<typeof kubectl>[2]) =>
    kubectl(config.file, line.split(" "), options);
  /** The output of a command line that must succeed. */
  const ok = async (line: string, options?: Parameters<typeof kubectl>[2]): Promise<string> => {
    const { code, out, err } = await run(line, options);
    assert.equal(code, 0, `kubectl ${line}\n${out}\n${err}`);
    return out;
  };
  const fails = async (line: string, words: RegExp): Promise<Outcome> => {
    const outcome = await run(line);
    assert.notEqual(outcome.code, 0, `kubectl ${line}\n${outcome.out}`);
    assert.match(outcome.err, words);
    return outcome;
  };

  test("version, api-versions, api-resources", async () => {
    assert.match(await ok("version"), /Server Version: v1\.\d+\.\d+\+trireme/);
    const versions = await ok("api-versions");
    assert.match(versions, /^apps\/v1$/m);
    assert.match(versions, /^v1$/m);
    const resources = await ok("api-resources");
    assert.match(resources, /^pods +po +v1 +true +Pod$/m);
    assert.match(resources, /^deployments +deploy +apps\/v1 +true +Deployment$/m);
    assert.match(await ok("api-resources --categories=all -o name"), /^deployments\.apps$/m);
    assert.match(await ok("cluster-info"), /control plane.* is running at/);
  });

  test("apply from a file, and get in every output", async () => {
    const applied = await ok("apply --validate=false -f -", { input: manifest });
    assert.equal(applied, "configmap/web created\ndeployment.apps/web created\n");
    const again = await ok("apply --validate=false -f -", { input: manifest });
    assert.equal(again, "configmap/web unchanged\ndeployment.apps/web unchanged\n");
    assert.match(
      await ok("get deploy"),
      /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/2 +0 +0 +/,
    );
    assert.match(
      await ok("get deploy -o wide"),
      /CONTAINERS +IMAGES +SELECTOR\n.*web +nginx +app=web\n/,
    );
    assert.match(await ok("get deploy web -o yaml"), /^ {2}replicas: 2$/m);
    assert.equal(JSON.parse(await ok("get deploy web -o json")).spec.replicas, 2);
    assert.equal(await ok("get deploy web -o jsonpath={.spec.replicas}"), "2");
    const columns = await ok("get cm web -o custom-columns=N:.metadata.name,A:.data.a");
    assert.equal(columns, "N     A\nweb   1\n");
    assert.equal(
      await ok("get cm,deploy -o name -l app=web"),
      "configmap/web\ndeployment.apps/web\n",
    );
    assert.match(await ok("get all"), /^deployment\.apps\/web +0\/2/m);
    assert.match(await ok("get cm -A --field-selector metadata.name=web"), /^default +web +1 /m);
    assert.match(await ok("get ns --sort-by=.metadata.name --no-headers"), /^default +Active/);
    assert.match(await ok("get ns --chunk-size=1"), /kube-system/);
    assert.match(await ok("get deploy --show-labels"), /app=web/);
    assert.match(await ok("get --raw /readyz?verbose"), /readyz check passed/);
    await fails("get cm none", /^Error from server \(NotFound\): configmaps "none" not found/);
    await fails("get nothings", /the server doesn't have a resource type "nothings"/);
  });

  test("get --watch shows what happens", async () => {
    const watched = run("get cm -w -l watched=yes --request-timeout=4s");
    const deadline = Date.now() + patienceMillis;
    let count = 0;
    const settled = watched.then(() => Date.now());
    // The watch begins at a time unknown, so changes go on until it has ended.
    await ok("create cm seen --from-literal=n=0 --validate=false");
    await ok("label cm seen watched=yes");
    while (Date.now() < deadline) {
      const over = await Promise.race([
        settled,
        ok(`annotate cm seen n=${count++} --overwrite`).then(() => 0),
      ]);
      if (over !== 0) break;
    }
    const { out } = await watched;
    assert.match(out, /^NAME +DATA +AGE\n(seen +1 .*\n)+/);
  });

  test("create: the generators whose kinds are served", async () => {
    const lines: [line: string, made: RegExp][] = [
      ["create configmap made --from-literal=a=b", /^configmap\/made created/],
      ["create secret generic made --from-literal=a=b", /^secret\/made created/],
      ["create namespace made", /^namespace\/made created/],
      ["create serviceaccount made", /^serviceaccount\/made created/],
      [
        "create deployment made --image=nginx --replicas=3 --port=80",
        /^deployment.apps\/made created/,
      ],
      ["create service clusterip made --tcp=80:8080", /^service\/made created/],
      ["create service nodeport made-node --tcp=80:8080", /^service\/made-node created/],
      [
        "create service externalname made-name --external-name=example.com",
        /^service\/made-name created/,
      ],
      [
        "create role made --verb=get,list --resource=pods",
        /^role.rbac.authorization.k8s.io\/made created/,
      ],
      [
        "create clusterrole made --verb=get --resource=nodes",
        /^clusterrole.rbac.authorization.k8s.io\/made created/,
      ],
      [
        "create rolebinding made --role=made --user=jane",
        /^rolebinding.rbac.authorization.k8s.io\/made created/,
      ],
      [
        "create clusterrolebinding made --clusterrole=made --group=g",
        /^clusterrolebinding.rbac.authorization.k8s.io\/made created/,
      ],
      ["create priorityclass made --value=1000", /^priorityclass.scheduling.k8s.io\/made created/],
      ["create quota made --hard=pods=10", /^resourcequota\/made created/],
      [
        "create poddisruptionbudget made --selector=app=made --min-available=1",
        /^poddisruptionbudget.policy\/made created/,
      ],
      ["create job made --image=busybox -- date", /^job.batch\/made created/],
      [
        "create cronjob made --image=busybox --schedule=@daily -- date",
        /^cronjob.batch\/made created/,
      ],
      [
        "autoscale deployment made --min=1 --max=3",
        /^horizontalpodautoscaler.autoscaling\/made autoscaled/,
      ],
      ["create ingress made --rule=foo.com/*=made:80", /^ingress.networking.k8s.io\/made created/],
    ];
    for (const [line, made] of lines) assert.match(await ok(line), made);
    assert.match(
      await ok("run once --image=busybox --restart=Never -- sleep 9"),
      /^pod\/once created/,
    );
    assert.match(
      await ok("expose deployment made --port=81 --name=exposed"),
      /^service\/exposed exposed/,
    );
    await fails(
      "create configmap made",
      /^error: failed to create configmap: configmaps "made" already exists/,
    );
    assert.match(await ok("create configmap dry --dry-run=server"), /created \(server dry run\)/);
    await fails("get cm dry", /NotFound/);
  });

  test("edit, patch, label, annotate, scale, set, replace", async () => {
    await ok("create deployment changed --image=nginx");
    const editor = { env: { KUBE_EDITOR: "sed -i s/replicas:.1/replicas:\\ 7/" } };
    assert.match(await ok("edit deployment changed --validate=false", editor), /edited/);
    assert.equal(await ok("get deploy changed -o jsonpath={.spec.replicas}"), "7");
    await ok('patch deploy changed -p {"spec":{"replicas":3}}');
    await ok('patch deploy changed --type=merge -p {"spec":{"replicas":4}}');
    await ok(
      'patch deploy changed --type=json -p [{"op":"replace","path":"/spec/replicas","value":5}]',
    );
    assert.equal(await ok("get deploy changed -o jsonpath={.spec.replicas}"), "5");
    await ok('patch deploy changed --subresource=scale --type=merge -p {"spec":{"replicas":6}}');
    assert.match(await ok("label deploy changed tier=web"), /labeled/);
    assert.match(await ok("annotate deploy changed note=yes"), /annotated/);
    assert.match(await ok("scale deploy changed --replicas=2"), /scaled/);
    await ok("set image deploy/changed nginx=nginx:1.27");
    await ok("set env deploy/changed A=B");
    await ok("set resources deploy/changed --requests=cpu=10m");
    const shown = JSON.parse(await ok("get deploy changed -o json"));
    assert.equal(shown.spec.replicas, 2);
    assert.equal(shown.metadata.labels.tier, "web");
    const [container] = shown.spec.template.spec.containers;
    assert.deepEqual(
      [container.image, container.env, container.resources.requests],
      ["nginx:1.27", [{ name: "A", value: "B" }], { cpu: "10m" }],
    );
    assert.match(
      await ok("replace --validate=false -f -", { input: JSON.stringify(shown) }),
      /replaced/,
    );
  });

  test("server-side apply, diff, rollout, explain, auth", async () => {
    const applied = await ok("apply --server-side --force-conflicts -f -", { input: manifest });
    assert.match(
      applied,
      /^configmap\/web serverside-applied\ndeployment.apps\/web serverside-applied\n/,
    );
    assert.equal(await ok("diff --server-side --force-conflicts -f -", { input: manifest }), "");
    assert.match(await ok("get deploy web --show-managed-fields -o yaml"), /managedFields:/);
    assert.match(await ok("rollout pause deploy web"), /paused/);
    assert.match(await ok("rollout resume deploy web"), /resumed/);
    assert.match(await ok("rollout restart deploy web"), /restarted/);
    assert.match(await ok("explain deployment.spec.replicas"), /^FIELD: replicas <integer>/m);
    assert.match(await ok("explain pod.spec --recursive"), /^ {2}containers\t/m);
    assert.equal(await ok("auth can-i create pods"), "yes\n");
    assert.match(await ok("auth whoami"), /^Username +admin$/m);
    const denied = await run("auth can-i create pods --as=jane");
    assert.deepEqual([denied.code, denied.out], [1, "no\n"]);
  });

  test("describe, wait and delete", async () => {
    await ok("create deployment gone --image=nginx");
    assert.match(
      await ok("describe deployment gone"),
      /^Name: +gone$[\s\S]+^Selector: +app=gone$/m,
    );
    assert.match(await ok("describe ns default"), /^Status: +Active$/m);
    const condition = "wait deploy/gone --for=jsonpath={.spec.replicas}=1 --timeout=10s";
    assert.match(await ok(condition), /condition met/);
    assert.match(await ok("delete deployment gone"), /^deployment.apps "gone" deleted/);
    await fails("get deploy gone", /NotFound/);
    await ok("create cm many-1");
    await ok("create cm many-2");
    await ok("label cm many-1 many-2 many=yes");
    assert.match(await ok("delete cm -l many=yes"), /many-1[\s\S]+many-2/);
    await ok("wait cm/many-1 --for=delete --timeout=10s");
  });
});
