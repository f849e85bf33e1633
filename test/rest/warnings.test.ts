/** Every face tells the same warnings about the same object, in upstream's words. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Client, Metadata } from "@grpc/grpc-js";
import { type ClientConstructor, connect } from "../../ha/rpc/mod.ts";
import { DaemonSetsClient, DeploymentsClient, StatefulSetsClient } from "../../proto/gen/apps.ts";
import { CronJobsClient, JobsClient } from "../../proto/gen/batch.ts";
import {
  ComponentStatusesClient,
  EndpointsCollectionClient,
  PodsClient,
  PodTemplatesClient,
  ReplicationControllersClient,
  ServicesClient,
} from "../../proto/gen/core.ts";
import { DynamicClient } from "../../proto/gen/dynamic.ts";
import { type RestWorld, restWorld } from "./harness.ts";

let world: RestWorld;
const clients = new Map<ClientConstructor<Client>, Client>();
before(async () => {
  world = await restWorld();
});
after(async () => {
  for (const client of clients.values()) client.close();
  await world[Symbol.asyncDispose]();
});

function clientOf(Client: ClientConstructor<Client>): Client {
  const known = clients.get(Client);
  if (known !== undefined) return known;
  const tls = { ca: world.ca, ...world.admin };
  const made = connect(Client, { addresses: [`127.0.0.1:${world.server.port}`], tls });
  clients.set(Client, made);
  return made;
}

type Call = (
  request: object,
  metadata: Metadata,
  done: (error: Error | null, answer: { json?: Uint8Array; warnings?: string[] }) => void,
) => { on(event: "status", heard: (status: { metadata: Metadata }) => void): void };

/** The answer of a gRPC call and the warnings in its trailers, which come behind the answer. */
function asked(Client: ClientConstructor<Client>, method: string, request: object) {
  return new Promise<{ warnings: string[]; own: string[] }>((resolve, reject) => {
    const client = clientOf(Client) as unknown as Record<string, Call>;
    let own: string[] = [];
    const made = client[method]!.call(client, request, new Metadata(), (error, answer) => {
      if (error) reject(error);
      else own = answer.warnings ?? [];
    });
    made.on("status", ({ metadata }) => {
      const [text] = metadata.get("warning");
      resolve({ own, warnings: textsOf(text === undefined ? undefined : String(text)) });
    });
  });
}

function textsOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(", ") : (header ?? "");
  return [...text.matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)].map(([, one = ""]) =>
    JSON.parse(`"${one}"`),
  );
}

interface Row {
  readonly of: string;
  readonly Client: ClientConstructor<Client>;
  readonly api: string;
  readonly document: { readonly kind: string; readonly spec?: object; [field: string]: unknown };
  readonly told: readonly string[];
}

const container = { name: "c", image: "busybox" };
const labels = { a: "b" };
const selector = { matchLabels: labels };

function pod(of: string, spec: object, told: readonly string[], more: object = {}): Row {
  const document = { kind: "Pod", spec: { containers: [container], ...spec }, ...more };
  return { of, Client: PodsClient, api: "/api/v1 pods", document, told };
}

const hides = (path: string) =>
  `${path}: hides previous definition of "A", which may be dropped when using apply`;
const template = (spec: object = {}) => ({
  metadata: { labels },
  spec: { containers: [container], terminationGracePeriodSeconds: -1, ...spec },
});
const negative = (path: string) =>
  `${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`;
const label = (what: string) =>
  `metadata.name: this is used in ${what}, which can result in surprising behavior; a DNS label ` +
  "is recommended: [a lowercase RFC 1123 label must consist of lower case alphanumeric characters " +
  "or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', " +
  "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')]";
const never = { restartPolicy: "Never" };

const owner = { apiVersion: "v1", kind: "ConfigMap", name: "m", uid: "u", controller: true };

const rows: readonly Row[] = [
  pod("nothing to say", {}, []),
  pod("a name that is no label", {}, [label("the Pod's hostname")], { metadata: { name: "a.b" } }),
  pod("a deprecated node label", { nodeSelector: { "beta.kubernetes.io/os": "linux" } }, [
    'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
  ]),
  pod(
    "deprecated annotations",
    {},
    [
      "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; " +
        'use the "priorityClassName" field instead',
    ],
    { metadata: { annotations: { "scheduler.alpha.kubernetes.io/critical-pod": "" } } },
  ),
  pod("repeated host aliases", { hostAliases: [{ ip: "127.1.1.1" }, { ip: "127.1.1.1" }] }, [
    'spec.hostAliases[1].ip: duplicate ip "127.1.1.1"',
  ]),
  pod("repeated pull secrets", { imagePullSecrets: [{ name: "s" }, { name: "s" }] }, [
    'spec.imagePullSecrets[1].name: duplicate name "s"',
  ]),
  pod(
    "a fraction of a byte",
    { containers: [{ ...container, resources: { requests: { memory: "100m" } } }] },
    [
      'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
    ],
  ),
  pod(
    "a variable that is hidden",
    {
      containers: [
        {
          ...container,
          env: [
            { name: "A", value: "1" },
            { name: "A", value: "2" },
            { name: "A", value: "$(A)3" },
          ],
        },
      ],
    },
    [hides("spec.containers[0].env[1]")],
  ),
  pod(
    "ports that are the same",
    {
      containers: [
        { ...container, ports: [{ containerPort: 80 }] },
        { ...container, name: "d", ports: [{ containerPort: 80 }, { containerPort: 81 }] },
      ],
    },
    ["spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]"],
  ),
  pod(
    "a port that is a host's once",
    {
      containers: [
        { ...container, ports: [{ containerPort: 80, hostPort: 8080 }, { containerPort: 80 }] },
      ],
    },
    ["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
  ),
  pod("a negative grace period, which becomes 1", { terminationGracePeriodSeconds: -1 }, []),
  pod(
    "files of a volume that hide one another",
    {
      volumes: [
        {
          name: "s",
          secret: {
            secretName: "x",
            items: [
              { key: "a", path: "p" },
              { key: "b", path: "p/q" },
            ],
          },
        },
        {
          name: "p",
          projected: {
            sources: [
              {},
              { serviceAccountToken: { path: "t" } },
              { configMap: { name: "m", items: [{ key: "a", path: "t/u" }] } },
            ],
          },
        },
      ],
    },
    [
      'volume "s" (Secret "x"): overlapping paths: "p/q" with "p"',
      'volume "p" (Projected) has no sources provided',
      'volume "p" (Projected): overlapping paths: "t/u" (ConfigMap "m") with "t" ' +
        "(ServiceAccountToken)",
    ],
  ),
  pod(
    "a preference that no label meets",
    {
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            {
              weight: 1,
              preference: { matchExpressions: [{ key: "k", operator: "In", values: ["-"] }] },
            },
          ],
        },
      },
    },
    [
      "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference." +
        "matchExpressions[0].values[0]: - is invalid, a valid label must be an empty string or " +
        "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
        "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for " +
        "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ],
  ),
  pod(
    "an owner that is named twice",
    {},
    [
      ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in " +
        "1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate " +
        "UID(s) observed: u",
    ],
    { metadata: { ownerReferences: [owner, owner] } },
  ),
  pod(
    "an affinity to no pod",
    {
      affinity: {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: "kubernetes.io/hostname" },
          ],
        },
      },
    },
    [
      "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: " +
        "a null labelSelector results in matching no pod",
    ],
  ),
  {
    of: "a Deployment",
    Client: DeploymentsClient,
    api: "/apis/apps/v1 deployments",
    document: {
      ...{ kind: "Deployment", metadata: { name: "a.b" } },
      spec: { selector, template: template() },
    },
    told: [label("Pod names and hostnames"), negative("spec.template.spec")],
  },
  {
    of: "a StatefulSet",
    Client: StatefulSetsClient,
    api: "/apis/apps/v1 statefulsets",
    document: { kind: "StatefulSet", spec: { selector, serviceName: "s", template: template() } },
    told: [negative("spec.template.spec")],
  },
  {
    of: "a DaemonSet",
    Client: DaemonSetsClient,
    api: "/apis/apps/v1 daemonsets",
    document: { kind: "DaemonSet", spec: { selector, template: template() } },
    told: [negative("spec.template.spec")],
  },
  {
    of: "a Job",
    Client: JobsClient,
    api: "/apis/batch/v1 jobs",
    document: { kind: "Job", spec: { template: template(never) } },
    told: [negative("spec.template.spec")],
  },
  {
    of: "a CronJob",
    Client: CronJobsClient,
    api: "/apis/batch/v1 cronjobs",
    document: {
      kind: "CronJob",
      spec: { schedule: "* * * * *", jobTemplate: { spec: { template: template(never) } } },
    },
    told: [negative("spec.jobTemplate.spec.template.spec")],
  },
  {
    of: "a ReplicationController",
    Client: ReplicationControllersClient,
    api: "/api/v1 replicationcontrollers",
    document: { kind: "ReplicationController", spec: { selector: labels, template: template() } },
    told: [negative("spec.template.spec")],
  },
  {
    of: "a PodTemplate",
    Client: PodTemplatesClient,
    api: "/api/v1 podtemplates",
    document: { kind: "PodTemplate", template: template() },
    told: [negative("template.spec")],
  },
  {
    of: "a headless Service",
    Client: ServicesClient,
    api: "/api/v1 services",
    document: {
      kind: "Service",
      spec: { clusterIP: "None", sessionAffinity: "ClientIP", ports: [{ port: 80 }] },
    },
    told: ["spec.SessionAffinity is ignored for headless services"],
  },
  {
    of: "Endpoints",
    Client: EndpointsCollectionClient,
    api: "/api/v1 endpoints",
    document: { kind: "Endpoints", subsets: [] },
    told: ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"],
  },
];

for (const { of, Client, api, document, told } of rows) {
  test(`${of}: the same warnings from every face`, async () => {
    const [prefix = "", plural = ""] = api.split(" ");
    const apiVersion = prefix.replace(/^\/apis?\//, "");
    const namespace = "default";
    const { metadata = {} } = document as { metadata?: object };
    const body = { ...document, apiVersion, metadata: { name: "told", namespace, ...metadata } };
    const path = `${prefix}/namespaces/${namespace}/${plural}?dryRun=All`;
    const rest = await world.ask(path, { method: "POST", body });
    assert.equal(rest.status, 201, rest.text);
    const texts = textsOf(rest.headers["warning"]);
    // Besides, this cluster may tell of fields that it gives no effect.
    const upstream = told.length === 0 ? texts : texts.filter((text) => told.includes(text));
    assert.deepEqual(upstream, told);
    const options = { dryRun: ["All"] };
    const typed = await asked(Client, "create", { object: body, namespace, options });
    assert.deepEqual(typed.warnings, texts);
    const json = Buffer.from(JSON.stringify(body));
    const dynamic = await asked(DynamicClient, "create", { namespace, json, options });
    assert.deepEqual(dynamic.own, texts);
  });
}

test("reads of a deprecated kind are warned of as well", async () => {
  const told = ["v1 ComponentStatus is deprecated in v1.19+"];
  const rest = await world.ask("/api/v1/componentstatuses");
  assert.deepEqual(textsOf(rest.headers["warning"]), told);
  const typed = await asked(ComponentStatusesClient, "list", {});
  assert.deepEqual(typed.warnings, told);
  const ref = { resource: "componentstatuses" };
  const dynamic = await asked(DynamicClient, "list", { ref });
  assert.deepEqual(dynamic.own, told);
});

test("an update is warned of when it changes what is wanted, a pod's never", async () => {
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  const body = {
    ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "again" } },
    spec: { selector, template: template() },
  };
  const made = await world.ask(deployments, { method: "POST", body });
  assert.equal(made.status, 201, made.text);
  const patched = async (patch: object) => {
    const headers = { "content-type": "application/merge-patch+json" };
    const path = `${deployments}/again`;
    const answer = await world.ask(path, { method: "PATCH", body: patch, headers });
    assert.equal(answer.status, 200, answer.text);
    return textsOf(answer.headers["warning"]);
  };
  assert.deepEqual(await patched({ metadata: { labels: { x: "y" } } }), []);
  assert.deepEqual(await patched({ spec: { replicas: 0 } }), [negative("spec.template.spec")]);
});

test("a request that fails is told of the deprecated version, of fields without effect not", async () => {
  const post = (path: string, body: object) => world.ask(path, { method: "POST", body });
  const failed = await post("/api/v1/namespaces/default/endpoints", {
    ...{ apiVersion: "v1", kind: "Endpoints", metadata: { name: "told" }, subsets: [{}] },
  });
  assert.equal(failed.status, 422, failed.text);
  assert.deepEqual(textsOf(failed.headers["warning"]), [
    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  ]);
  const driver = await post("/apis/storage.k8s.io/v1/csidrivers", {
    ...{ apiVersion: "storage.k8s.io/v1", kind: "CSIDriver", metadata: { name: "A" } },
  });
  assert.equal(driver.status, 422, driver.text);
  assert.deepEqual(textsOf(driver.headers["warning"]), []);
});

test("events of either version are invalid as those of the older one", async () => {
  const answer = await world.ask("/apis/events.k8s.io/v1/namespaces/default/events", {
    method: "POST",
    body: { apiVersion: "events.k8s.io/v1", kind: "Event", metadata: { name: "e" } },
  });
  assert.equal(answer.status, 422, answer.text);
  assert.match(answer.text, /"message":"Event \\"e\\" is invalid: /);
  // The older version takes any name that fits into a path.
  const odd = await world.ask("/api/v1/namespaces/default/events", {
    method: "POST",
    body: { apiVersion: "v1", kind: "Event", metadata: { name: "Odd_Name!" } },
  });
  assert.equal(odd.status, 201, odd.text);
});
