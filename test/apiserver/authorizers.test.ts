/** Who may do what, by the default roles and the node authorizer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { authorize } from "../../services/apiserver/auth/authorize.ts";
import { nodeAuthorizer } from "../../services/apiserver/auth/node-authorizer.ts";
import { NodeGraph } from "../../services/apiserver/auth/node-graph.ts";
import { defaultAuthorizers } from "../../services/apiserver/auth/rbac/default-authorizers.ts";
import { kind } from "./harness.ts";

test("the default roles and the node authorizer", () => {
  const bound = {
    metadata: { name: "mine", namespace: "default" },
    spec: {
      nodeName: "n1",
      volumes: [{ name: "v", secret: { secretName: "s" } }],
      containers: [{ name: "c", envFrom: [{ configMapRef: { name: "cm" } }] }],
    },
  };
  const elsewhere = {
    metadata: { name: "e", namespace: "default" },
    spec: { nodeName: "n2", imagePullSecrets: [{ name: "other" }] },
  };
  const graph = new NodeGraph();
  for (const document of [elsewhere, bound]) graph.pods.added({ document });
  const authorizers = [...defaultAuthorizers(), nodeAuthorizer(graph)];
  const node = "system:node:n1";
  const rows: [user: string, verb: string, resource: string, name: string, allowed: boolean][] = [
    ["system:kube-scheduler", "create", "pods/binding", "p", true],
    ["system:kube-scheduler", "create", "pods", "", false],
    ["system:kube-scheduler", "update", "leases", "scheduler", true],
    ["system:kube-controller-manager", "delete", "pods", "p", true],
    ["system:kube-proxy", "watch", "services", "", true],
    ["system:kube-proxy", "update", "services", "s", false],
    ["trireme:balancer", "list", "pods", "", false],
    [node, "get", "pods", "mine", true],
    [node, "get", "pods", "other", false],
    [node, "update", "pods/status", "mine", true],
    [node, "list", "pods", "", false],
    [node, "update", "nodes/status", "n1", true],
    [node, "update", "nodes/status", "n2", false],
    [node, "get", "secrets", "s", true],
    [node, "get", "secrets", "other", false],
    [node, "list", "secrets", "", false],
    [node, "get", "configmaps", "cm", true],
    [node, "get", "configmaps", "s", false],
    [node, "get", "serviceaccounts", "default", true],
    [node, "get", "serviceaccounts", "builder", false],
    [node, "update", "secrets", "s", false],
  ];
  for (const [name, verb, resource, object, allowed] of rows) {
    const [plural = "", subresource = ""] = resource.split("/");
    const groups = name === node ? ["system:nodes"] : [];
    const check = () =>
      authorize(authorizers, {
        user: { name, groups },
        verb,
        group: kind(plural).group,
        resource: plural,
        subresource,
        namespace: "default",
        name: object,
        fieldSelector: "",
        path: "",
      });
    if (allowed) assert.doesNotThrow(check, `${name} ${verb} ${resource}`);
    else assert.throws(check, /is forbidden: User/, `${name} ${verb} ${resource}`);
  }
});
