import assert from "node:assert/strict";
import { test } from "node:test";
import { check, type Loose, row } from "./documents.ts";
import { registry } from "./registry.ts";
import { assertFaults, created, documents, updateFaults } from "./tables.ts";

const version = "resource.k8s.io/v1";
const deviceClass = documents(version, "DeviceClass");
const claim = documents(version, "ResourceClaim", true);
const template = documents(version, "ResourceClaimTemplate", true);
const slice = documents(version, "ResourceSlice");

const selectors = (...expressions: string[]) =>
  expressions.map((expression) => ({ cel: { expression } }));
const withSelector = (expression: string) =>
  deviceClass({ spec: { selectors: selectors(expression) } });
const asks = (...requests: Loose[]) => claim({ spec: { devices: { requests } } });
const exactly = (fields: Loose = {}, name = "gpu") => ({
  name,
  exactly: { deviceClassName: "gpu.example.com", ...fields },
});
const request = "spec.devices.requests[0]";

test("a device class: its expressions are compiled, its configuration is named", () => {
  const expression = "spec.selectors[0].cel.expression";
  assertFaults([
    [deviceClass(), []],
    [withSelector('device.driver == "gpu.example.com"'), []],
    [withSelector('device.attributes["gpu.example.com"].model == "a100"'), []],
    [withSelector('device.capacity["d"].memory.compareTo(quantity("10Gi")) >= 0'), []],
    [withSelector('device.attributes["d"].v.isGreaterThan(semver("1.0.0"))'), []],
    [withSelector('cel.bind(d, device.attributes["d"], d.one && d.two)'), []],
    [
      withSelector("device.driver"),
      [
        `${expression}: Invalid value: "device.driver": must evaluate to bool or the unknown ` +
          "type, not string",
      ],
    ],
    [
      withSelector("x".repeat(10_241)),
      [`${expression}: Too long: may not be more than 10240 bytes`],
    ],
    [
      deviceClass({ spec: { selectors: [{}], config: [{}] } }),
      ["spec.selectors[0].cel: Required value", "spec.config[0].opaque: Required value"],
    ],
    [
      deviceClass({ spec: { config: [{ opaque: { driver: "d" } }] } }),
      ["spec.config[0].opaque.parameters: Required value"],
    ],
  ]);
  const { problems } = check(withSelector("device.nothing"));
  assert.deepEqual(problems, [`FieldValueInvalid ${expression}`]);
});

test("a claim: defaults, and what it may ask for", () => {
  const stored = created(asks(exactly(), { name: "n", firstAvailable: [exactly().exactly] }));
  const [first, second] = stored.spec.devices.requests;
  assert.equal(first.exactly.allocationMode, "ExactCount");
  assert.equal(first.exactly.count, 1);
  assert.equal(second.firstAvailable[0].count, 1);
  const one = "exactly one of `exactly` or `firstAvailable` is required";
  const reference =
    "must be the name of a request in the claim or the name of a request and a subrequest " +
    "separated by '/'";
  const alternatives = [{ name: "big", deviceClassName: "a" }];
  assertFaults([
    [asks(exactly()), []],
    [asks({ name: "gpu" }), [`${request}: Required value: ${one}`]],
    [
      asks({ ...exactly(), firstAvailable: alternatives }),
      [`${request}: Invalid value: null: ${one}, but multiple fields are set`],
    ],
    [asks(exactly(), exactly()), ['spec.devices.requests[1].name: Duplicate value: "gpu"']],
    [
      asks(exactly({ deviceClassName: "" })),
      [`${request}.exactly.deviceClassName: Required value`],
    ],
    [
      asks(exactly({ allocationMode: "All", count: 2 })),
      [
        `${request}.exactly.count: Invalid value: 2: must not be specified when allocationMode ` +
          "is 'All'",
      ],
    ],
    [
      asks(exactly({ count: -1 })),
      [`${request}.exactly.count: Invalid value: -1: must be greater than zero`],
    ],
    [
      asks(exactly({ allocationMode: "Some" })),
      [
        `${request}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", ` +
          '"ExactCount"',
      ],
    ],
    [
      asks(exactly({ tolerations: [{ operator: "Exists", value: "v", effect: "Later" }] })),
      [
        `${request}.exactly.tolerations[0].value: Invalid value: "v": must be empty for operator ` +
          "`Exists`",
        `${request}.exactly.tolerations[0].effect: Unsupported value: "Later": supported values: ` +
          '"NoExecute", "NoSchedule"',
      ],
    ],
    [
      claim({
        spec: {
          devices: {
            requests: [{ name: "gpu", firstAvailable: alternatives }],
            constraints: [{ requests: ["gpu/big", "gpu/small"], matchAttribute: "numa" }],
            config: [{ requests: ["other"], opaque: { driver: "d", parameters: {} } }],
          },
        },
      }),
      [
        `spec.devices.constraints[0].requests[1]: Invalid value: "gpu/small": ${reference}`,
        'spec.devices.constraints[0].matchAttribute: Invalid value: "numa": must include a domain',
        `spec.devices.config[0].requests[0]: Invalid value: "other": ${reference}`,
      ],
    ],
  ]);
  const many = Array.from({ length: 33 }, (_, index) => exactly({}, `r${index}`));
  assertFaults([
    [asks(...many), ["spec.devices.requests: Too many: 33: must have at most 32 items"]],
  ]);
  const change = (next: Loose) => {
    next.spec.devices.requests = [];
  };
  assert.match(updateFaults(stored, change)[0] ?? "", /^spec: .*: field is immutable$/);
});

const device = { driver: "gpu.example.com", pool: "node-1", device: "gpu-0" };

/** What is wrong with a status that is written over another one. */
function statusFaults(next: Loose, stored: Loose = {}, metadata: Loose = {}): string[] {
  const kind = registry.byKind(version, "ResourceClaim");
  assert.ok(kind);
  const before = { ...created(asks(exactly())), status: stored };
  const after = { ...before, metadata: { ...before.metadata, ...metadata }, status: next };
  const context = { user: { name: "u", groups: [] }, subresource: "status" };
  return kind
    .validateUpdate(after, before, context)
    .map(({ field, message }) => `${field}: ${message}`);
}

test("a claim's status: allocated once, reserved for whom, told of by drivers", () => {
  const allocation = { devices: { results: [{ request: "gpu", ...device }] } };
  const user = { resource: "pods", name: "p", uid: "1" };
  assert.deepEqual(statusFaults({ allocation, reservedFor: [user], devices: [device] }), []);
  assert.deepEqual(statusFaults({ reservedFor: [user, user] }), [
    'status.reservedFor[1].uid: Duplicate value: "1"',
    "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
  ]);
  const other = { devices: { results: [{ request: "gpu", ...device, device: "gpu-1" }] } };
  assert.match(
    statusFaults({ allocation: other }, { allocation })[0] ?? "",
    /^status.allocation: .*field is immutable$/,
  );
  assert.deepEqual(statusFaults({ devices: [{ ...device, networkData: { ips: ["10.0.0.1"] } }] }), [
    'status.devices[0]: Invalid value: "gpu.example.com/node-1/gpu-0": must be an allocated device ' +
      "in the claim",
    'status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in ' +
      "CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)",
  ]);
  const deleted = { deletionTimestamp: "2026-01-01T00:00:00Z" };
  assert.deepEqual(statusFaults({ allocation, reservedFor: [user] }, { allocation }, deleted), [
    "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or " +
      "`deletionTimestamp` are set",
  ]);
  const config = [{ source: "Elsewhere", opaque: { driver: "d", parameters: {} } }];
  assert.deepEqual(statusFaults({ allocation: { devices: { config } } }), [
    'status.allocation.devices.config[0].source: Unsupported value: "Elsewhere": supported ' +
      'values: "FromClaim", "FromClass"',
  ]);
});

test("what drivers said of a device goes with its allocation", () => {
  const kind = registry.byKind(version, "ResourceClaim");
  assert.ok(kind);
  const allocation = { devices: { results: [{ request: "gpu", ...device }] } };
  const before = { ...asks(exactly()), status: { allocation, devices: [device] } };
  const next: Loose = { ...asks(exactly()), status: { devices: [device] } };
  kind.prepareForUpdate(next, before, 0);
  assert.deepEqual(next.status, {});
});

test("a claim's state stands in its row", () => {
  const state = (status: Loose, deletionTimestamp?: string) => {
    const document = { ...asks(exactly()), status };
    Object.assign(document.metadata, { deletionTimestamp });
    return row(document, 0)["State"];
  };
  const allocation = {};
  assert.deepEqual(
    [
      state({}),
      state({ allocation }),
      state({ allocation, reservedFor: [{}] }),
      state({}, "2026-01-01T00:00:00Z"),
      state({ allocation }, "2026-01-01T00:00:00Z"),
    ],
    ["pending", "allocated", "allocated,reserved", "deleted", "deleted,allocated"],
  );
});

test("a template of claims has labels, annotations and a claim's spec, and stays", () => {
  const spec = { devices: { requests: [exactly()] } };
  assertFaults([[template({ spec: { metadata: { labels: { a: "b" } }, spec } }), []]]);
  const { problems } = check(template({ spec: { metadata: { name: "n" }, spec } }));
  assert.deepEqual(problems, ["FieldValueForbidden spec.metadata.name"]);
  const change = (next: Loose) => {
    next.spec.metadata = { labels: { a: "c" } };
  };
  assert.match(updateFaults(template({ spec: { spec } }), change)[0] ?? "", /field is immutable$/);
});

const offers = (fields: Loose = {}) => ({
  spec: {
    driver: "gpu.example.com",
    pool: { name: "node-1", generation: 1, resourceSliceCount: 1 },
    nodeName: "node-1",
    ...fields,
  },
});
const having = (fields: Loose) => slice(offers({ devices: [{ name: "gpu-0", ...fields }] }));

test("a slice of devices: where they are, and what they are like", () => {
  const reach = "exactly one of `nodeName`, `nodeSelector`, `allNodes` is required";
  const at = "spec.devices[0]";
  assertFaults([
    [slice(offers()), []],
    [having({ attributes: { a: { int: 1 }, "d.example.com/b": { version: "1.2.3-rc.1" } } }), []],
    [slice(offers({ nodeName: undefined })), [`spec: Required value: ${reach}`]],
    [
      slice(offers({ allNodes: true })),
      [
        `spec: Invalid value: "{\`nodeName\`, \`allNodes\`}": ${reach}, but multiple fields are set`,
      ],
    ],
    [
      slice(offers({ pool: { name: "", generation: -1 } })),
      [
        "spec.pool.name: Required value",
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
      ],
    ],
    [
      having({ attributes: { a: { int: 1, bool: true }, b: {}, c: { version: "1" } } }),
      [
        `${at}.attributes[a]: Invalid value: {"int":1,"bool":true}: exactly one value must be ` +
          "specified",
        `${at}.attributes[b]: Required value: exactly one value must be specified`,
        `${at}.attributes[c].version: Invalid value: "1": must be a string compatible with ` +
          "semver.org spec 2.0.0",
      ],
    ],
    [
      having({ attributes: { "/a": { bool: true } } }),
      [`${at}.attributes[/a]: Required value: the domain must not be empty`],
    ],
    [
      slice(offers({ devices: [{ name: "a" }, { name: "a" }] })),
      ['spec.devices[1].name: Duplicate value: "a"'],
    ],
  ]);
  const stored = slice(offers());
  const change = (next: Loose) => Object.assign(next.spec, { driver: "other", nodeName: "node-2" });
  assert.deepEqual(updateFaults(stored, change), [
    'spec.driver: Invalid value: "other": field is immutable',
    'spec.nodeName: Invalid value: "node-2": field is immutable',
  ]);
  const document = created(having({ capacity: { memory: { value: "1024Mi" } } }));
  assert.equal(document.spec.devices[0].capacity.memory.value, "1Gi");
  assert.deepEqual(Object.values(row(document, 0)).slice(0, 4), [
    ...["x", "node-1", "gpu.example.com", "node-1"],
  ]);
});
