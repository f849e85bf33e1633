import assert from "node:assert/strict";
import { test } from "node:test";
import type { HTTPIngressPath, Ingress, IngressClass } from "../../proto/gen/networking.ts";
import {
  controllerName,
  ownIngresses,
  routeOf,
  routeTable,
} from "../../services/ingress/route-table.ts";

function path(text: string, pathType: string, name: string): HTTPIngressPath {
  return { path: text, pathType, backend: { service: { name, port: { number: 80 } } } };
}
function ingress(name: string, spec: Ingress["spec"], second = 1): Ingress {
  const creationTimestamp = `2026-01-01T00:00:0${second}Z`;
  return { metadata: { name, namespace: "d", creationTimestamp }, spec };
}

test("paths: the longest wins, exact before prefix, prefixes by whole elements", () => {
  const paths = [
    path("/", "Prefix", "root"),
    path("/foo", "Prefix", "foo"),
    path("/foo/bar/", "Prefix", "bar"),
    path("/foo", "Exact", "exact"),
    path("/img", "ImplementationSpecific", "images"),
    path("/only/", "Exact", "slash"),
  ];
  const table = routeTable([ingress("a", { rules: [{ http: { paths } }] })]);
  const rows: [string, string][] = [
    ["/", "root"],
    ["/x", "root"],
    ["/foo", "exact"],
    ["/foo/", "foo"],
    ["/foobar", "root"],
    ["/foo/bar", "bar"],
    ["/foo/bar/baz", "bar"],
    ["/foo/barbaz", "foo"],
    ["/img/x", "images"],
    ["/only/", "slash"],
    ["/only", "root"],
    ["/FOO", "root"],
  ];
  for (const [asked, service] of rows) {
    assert.equal(routeOf(table, "any.example", asked)?.service, service, asked);
  }
});

test("hosts: by name, then one label of a wildcard, then rules without a host, then the default", () => {
  const to = (name: string) => ({ paths: [path("/app", "Prefix", name)] });
  const table = routeTable([
    ingress("a", {
      defaultBackend: { service: { name: "default", port: { name: "http" } } },
      rules: [
        { host: "a.example.com", http: to("named") },
        { host: "*.example.com", http: to("wild") },
        { http: to("any") },
      ],
    }),
  ]);
  const rows: [string, string, string][] = [
    ["a.example.com", "/app", "named"],
    ["A.Example.COM.", "/app", "named"],
    ["b.example.com", "/app", "wild"],
    ["x.b.example.com", "/app", "any"],
    ["example.com", "/app", "any"],
    ["a.example.com", "/other", "default"],
    ["", "/other", "default"],
  ];
  for (const [host, asked, service] of rows) {
    assert.equal(routeOf(table, host, asked)?.service, service, `${host}${asked}`);
  }
  assert.equal(routeOf(routeTable([]), "a", "/"), undefined);
});

test("whose ingress it is, and of two with one path the older one's", () => {
  const classOf = (name: string, controller: string, isDefault = false): IngressClass => ({
    metadata: {
      name,
      ...(isDefault && {
        annotations: { "ingressclass.kubernetes.io/is-default-class": "true" },
      }),
    },
    spec: { controller },
  });
  const rules = (name: string) => [{ http: { paths: [path("/", "Prefix", name)] } }];
  const all = [
    ingress("new", { ingressClassName: "ours", rules: rules("new") }, 3),
    ingress("old", { ingressClassName: "ours", rules: rules("old") }, 2),
    ingress("theirs", { ingressClassName: "nginx", rules: rules("theirs") }),
    ingress("none", { rules: rules("none") }),
    {
      ...ingress("noted", { rules: rules("noted") }, 4),
      metadata: { name: "noted", annotations: { "kubernetes.io/ingress.class": "ours" } },
    },
  ];
  const names = (classes: IngressClass[]) =>
    ownIngresses(all, classes).map(({ metadata }) => metadata?.name);
  const nginx = classOf("nginx", "k8s.io/ingress-nginx");
  assert.deepEqual(names([nginx, classOf("ours", controllerName)]), ["old", "new", "noted"]);
  assert.deepEqual(names([classOf("ours", controllerName, true)]).includes("none"), true);
  assert.deepEqual(names([nginx]), []);
  const table = routeTable(ownIngresses(all, [classOf("ours", controllerName)]));
  assert.equal(routeOf(table, "x", "/")?.service, "old");
});
