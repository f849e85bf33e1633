/** What a write of a service's status may say, and what becomes of it with the service's type. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { copyJson, type Document } from "../../services/kinds/mod.ts";
import { type Loose, serviceDocument } from "./documents.ts";
import { registry } from "./registry.ts";

const services = registry.required("v1", "Service");
const user = { name: "balancers", groups: [] };

function balanced(type: string, ingress: readonly Loose[]): Document {
  const service = serviceDocument();
  service.spec.type = type;
  service.status = { loadBalancer: { ingress: copyJson(ingress) } };
  services.setDefaults(service as Document);
  return service as Document;
}

const path = "status.loadBalancer.ingress";
const rows: [string, string, Loose[], string[]][] = [
  ["an address gets a mode", "LoadBalancer", [{ ip: "192.0.2.1" }], []],
  ["a name", "LoadBalancer", [{ hostname: "lb.example.com" }], []],
  ["an address of a proxy", "LoadBalancer", [{ ip: "192.0.2.1", ipMode: "Proxy" }], []],
  [
    "a service without a balancer",
    "ClusterIP",
    [{ ip: "192.0.2.1" }],
    [`${path}: Forbidden: may only be used when \`spec.type\` is 'LoadBalancer'`],
  ],
  [
    "no address",
    "LoadBalancer",
    [{ ip: "192.0.2.256" }, { hostname: "192.0.2.1" }],
    [
      `${path}[0].ip: Invalid value: "192.0.2.256": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
      `${path}[1].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address`,
    ],
  ],
  [
    "modes",
    "LoadBalancer",
    [
      { hostname: "lb.example.com", ipMode: "VIP" },
      { ip: "192.0.2.1", ipMode: "vip" },
    ],
    [
      `${path}[0].ipMode: Forbidden: may not be specified when \`ip\` is not set`,
      `${path}[1].ipMode: Unsupported value: "vip": supported values: "Proxy", "VIP"`,
    ],
  ],
];

for (const [what, type, ingress, expected] of rows) {
  test(what, () => {
    const stored = balanced(type, []);
    const found = services.validateUpdate(balanced(type, ingress), stored, {
      user,
      subresource: "status",
    });
    assert.deepEqual(
      found.map(({ field, message }) => `${field}: ${message}`),
      expected,
    );
  });
}

test("an address that was stored may stay, whatever it is", () => {
  const stored = balanced("LoadBalancer", [{ ip: "192.0.2.01" }]);
  const about = { user, subresource: "status" };
  assert.deepEqual(services.validateUpdate(copyJson(stored), stored, about), []);
});

test("a service that is no longer of the type loses the address, and what is stored stays", () => {
  const stored = balanced("LoadBalancer", [{ ip: "192.0.2.1" }]);
  const next: Loose = { ...copyJson(stored), status: stored["status"] };
  next.spec.type = "NodePort";
  services.prepareForUpdate(next as Document, stored, 0, { user, subresource: "" });
  assert.deepEqual(next.status, { loadBalancer: {} });
  const kept = (stored as Loose).status.loadBalancer.ingress;
  assert.deepEqual(kept, [{ ip: "192.0.2.1", ipMode: "VIP" }]);
});
