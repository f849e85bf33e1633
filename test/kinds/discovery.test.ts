import assert from "node:assert/strict";
import { test } from "node:test";
import { type Loose, row } from "./documents.ts";
import { registry } from "./registry.ts";
import { assertFaults, created, documents, updateFaults } from "./tables.ts";

const slice = documents("discovery.k8s.io/v1", "EndpointSlice", true);
const at = (addressType: string, ...addresses: string[]) =>
  slice({ addressType, endpoints: [{ addresses }] });
const endpoint = (fields: Loose) =>
  slice({ addressType: "IPv4", endpoints: [{ addresses: ["10.0.0.1"], ...fields }] });
const ports = (...list: Loose[]) => slice({ addressType: "IPv4", ports: list });
const many = (count: number) => Array.from({ length: count }, (_, index) => index);
const address = "endpoints[0].addresses[0]";

test("an endpoint slice: every fault in its words", () => {
  assertFaults([
    [at("IPv4", "10.1.2.3"), []],
    [at("IPv6", "fd00::1"), []],
    [at("FQDN", "example.com."), []],
    // The embedded network lives there.
    [at("IPv4", "127.64.0.1"), []],
    [slice(), ["addressType: Required value"]],
    [
      slice({ addressType: "IP" }),
      ['addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6"'],
    ],
    [
      slice({ addressType: "IPv4", endpoints: many(1001).map(() => ({})) }),
      ["endpoints: Too many: 1001: must have at most 1000 items"],
    ],
    [at("IPv4"), ["endpoints[0].addresses: Required value: must contain at least 1 address"]],
    [
      at("IPv4", ...many(101).map((each) => `10.0.0.${each}`)),
      ["endpoints[0].addresses: Too many: 101: must have at most 100 items"],
    ],
    [
      at("IPv4", "fd00::1"),
      ['endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address'],
    ],
    [
      at("IPv6", "10.0.0.1"),
      ['endpoints[0].addresses: Invalid value: "10.0.0.1": must be an IPv6 address'],
    ],
    [
      at("IPv4", "x"),
      [
        `${address}: Invalid value: "x": must be a valid IP address, ` +
          "(e.g. 10.9.8.7 or 2001:db8::ffff)",
      ],
    ],
    [
      at("IPv6", "FD00::1"),
      [`${address}: Invalid value: "FD00::1": must be in canonical form ("fd00::1")`],
    ],
    [
      at("IPv4", "0.0.0.0"),
      [`${address}: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)`],
    ],
    [
      at("IPv4", "169.254.0.1"),
      [
        `${address}: Invalid value: "169.254.0.1": may not be in the link-local range ` +
          "(169.254.0.0/16, fe80::/10)",
      ],
    ],
    [
      at("IPv6", "ff02::1"),
      [
        `${address}: Invalid value: "ff02::1": may not be in the link-local multicast range ` +
          "(224.0.0.0/24, ff02::/10)",
      ],
    ],
    [
      at("FQDN", "example"),
      [
        `${address}: Invalid value: "example": should be a domain with at least two segments ` +
          "separated by dots",
      ],
    ],
    [at("FQDN", ""), [`${address}: Required value`]],
    [
      endpoint({ hints: { forZones: [{ name: "a" }, { name: "a" }] } }),
      ['endpoints[0].hints.forZones[1].name: Duplicate value: "a"'],
    ],
    [
      endpoint({ hints: { forNodes: many(9).map((each) => ({ name: `n${each}` })) } }),
      ["endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items"],
    ],
    [ports({ name: "http" }, {}), []],
    [ports({}, {}), ['ports[1].name: Duplicate value: ""']],
    [
      ports({ protocol: "ICMP" }),
      ['ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ],
    [
      slice({ addressType: "IPv4", ports: many(20_001).map((each) => ({ name: `p${each}` })) }),
      ["ports: Too many: 20001: must have at most 20000 items"],
    ],
  ]);
});

test("an endpoint slice: defaults, generation, what may not change", () => {
  const kind = registry.byKind("discovery.k8s.io/v1", "EndpointSlice");
  assert.ok(kind);
  const stored = created({
    ...endpoint({ deprecatedTopology: { a: "b" } }),
    ports: [{ port: 80 }],
  });
  assert.deepEqual(stored.ports, [{ name: "", protocol: "TCP", port: 80 }]);
  kind.prepareForCreate(stored);
  assert.equal(stored.endpoints[0].deprecatedTopology, undefined);
  const { metadata: _, ...fields } = stored;
  assert.deepEqual(kind.desiredState?.(stored), fields);
  assert.deepEqual(
    updateFaults(at("IPv4", "10.0.0.1"), (changed) => (changed.addressType = "FQDN")),
    ['addressType: Invalid value: "FQDN": field is immutable'],
  );
});

test("an endpoint slice: columns", () => {
  const cells = row(
    slice({
      addressType: "IPv4",
      endpoints: [{ addresses: ["10.0.0.1", "10.0.0.2"] }, { addresses: ["10.0.0.3", "10.0.0.4"] }],
      ports: [{ port: 80 }, { name: "any" }],
    }),
    0,
  );
  assert.deepEqual(Object.keys(cells), ["Name", "AddressType", "Ports", "Endpoints", "Age"]);
  assert.equal(cells["Ports"], "80,*");
  assert.equal(cells["Endpoints"], "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...");
  const empty = row(slice({ addressType: "IPv4" }), 0);
  assert.deepEqual([empty["Ports"], empty["Endpoints"]], ["<unset>", "<unset>"]);
});
