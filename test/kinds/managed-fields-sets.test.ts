/** Sets of fields: their algebra, their written form, and what documents say as sets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FieldType } from "../../services/kinds/machinery/field-type.ts";
import { claimedFields, compare } from "../../services/kinds/machinery/managed-fields/compare.ts";
import {
  difference,
  emptySet,
  equalSets,
  type FieldSet,
  intersection,
  parseFieldSet,
  pathsOf,
  recursiveDifference,
  setOf,
  sorted,
  union,
} from "../../services/kinds/machinery/managed-fields/field-set.ts";
import {
  elementText,
  itemElement,
  MisfitError,
  pathText,
} from "../../services/kinds/machinery/managed-fields/path-element.ts";
import { messageType } from "../../services/kinds/machinery/managed-fields/types.ts";

const element = fc.constantFrom("f:a", "f:b", 'k:{"n":1}', 'v:"x"', "i:0");
const path = fc.array(element, { minLength: 1, maxLength: 4 });
const anySet = fc.array(path, { maxLength: 8 }).map((paths) => setOf(...paths));

const members = (set: FieldSet) => new Set(pathsOf(set).map((each) => each.join(" ")));

test("the algebra is that of sets of paths", () => {
  fc.assert(
    fc.property(anySet, anySet, (one, other) => {
      const [left, right] = [members(one), members(other)];
      const shared = [...left].filter((each) => right.has(each));
      const own = [...left].filter((each) => !right.has(each));
      assert.deepEqual(members(union(one, other)), new Set([...left, ...right]));
      assert.deepEqual(members(intersection(one, other)), new Set(shared));
      assert.deepEqual(members(difference(one, other)), new Set(own));
      const below = [...left].filter(
        (each) => ![...right].some((gone) => `${each} `.startsWith(`${gone} `)),
      );
      assert.deepEqual(members(recursiveDifference(one, other)), new Set(below));
      assert.equal(equalSets(one, other), own.length === 0 && left.size === right.size);
    }),
  );
});

test("every operation leaves sets in normal form, and its operands alone", () => {
  fc.assert(
    fc.property(anySet, anySet, (one, other) => {
      const before = JSON.stringify([one, other]);
      for (const combine of [union, intersection, difference, recursiveDifference]) {
        const result = combine(one, other);
        assert.deepEqual(parseFieldSet(JSON.parse(JSON.stringify(result))), result);
      }
      assert.equal(JSON.stringify([one, other]), before);
    }),
  );
});

test("what takes nothing away gives the very same set", () => {
  const set = setOf(["f:a", "f:b"], ["f:c"]);
  assert.equal(difference(set, setOf(["f:a"], ["f:x"], ["f:c", "f:d"])), set);
  assert.equal(union(set, emptySet), set);
});

test("the written form is upstream's: sorted, with . beside children alone", () => {
  const set = setOf(
    ["f:spec", "f:ports", 'k:{"port":8080}'],
    ["f:spec", "f:ports", 'k:{"port":80}', "f:port"],
    ["f:spec", "f:ports", 'k:{"port":80}'],
    ["f:metadata", "f:finalizers", 'v:"b"'],
    ["f:metadata", "f:finalizers", 'v:"a"'],
  );
  assert.equal(
    JSON.stringify(sorted(set)),
    '{"f:metadata":{"f:finalizers":{"v:\\"a\\"":{},"v:\\"b\\"":{}}},"f:spec":{"f:ports":' +
      '{"k:{\\"port\\":80}":{".":{},"f:port":{}},"k:{\\"port\\":8080}":{}}}}',
  );
});

test("reading mends what other programs write, and refuses what is no set", () => {
  assert.deepEqual(parseFieldSet({ "f:a": { ".": {} }, 'k:{"b":1, "a":"x"}': {} }), {
    "f:a": {},
    'k:{"a":"x","b":1}': {},
  });
  for (const wrong of [[], "x", { a: {} }, { "f:a": 1 }, { "k:x": {} }, { "i:-1": {} }]) {
    assert.equal(parseFieldSet(wrong), undefined, JSON.stringify(wrong));
  }
  assert.deepEqual(Object.keys(parseFieldSet({ "f:__proto__": {} }) ?? {}), ["f:__proto__"]);
});

test("paths are told as upstream tells them", () => {
  assert.equal(
    pathText(["f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name"]),
    '.spec.ports[port=80,protocol="TCP"].name',
  );
  assert.equal(elementText('v:"x"'), '[="x"]');
  assert.equal(elementText("i:3"), "[3]");
});

const scalar: FieldType = { kind: "leaf" };
const item: FieldType = {
  kind: "struct",
  field: (name) => (["name", "value", "list"].includes(name) ? scalar : undefined),
};
const list: FieldType = { kind: "list-map", keys: ["name"], defaults: {}, element: item };
const fields: Readonly<Record<string, FieldType>> = {
  scalar,
  list,
  set: { kind: "set" },
  map: { kind: "map", element: scalar },
  free: { kind: "untyped" },
};
const root: FieldType = { kind: "struct", field: (name) => fields[name] };

test("a configuration claims scalars, entries, elements and empty objects", () => {
  const claimed = claimedFields(root, {
    scalar: 1,
    list: [{ name: "a", value: 1 }],
    set: ["x"],
    map: { k: "v" },
    free: { a: { b: [1] } },
  });
  assert.deepEqual(sorted(claimed), {
    "f:free": { "f:a": { ".": {}, "f:b": {} } },
    "f:list": { 'k:{"name":"a"}': { ".": {}, "f:name": {}, "f:value": {} } },
    "f:map": { "f:k": {} },
    "f:scalar": {},
    "f:set": { 'v:"x"': {} },
  });
  assert.deepEqual(claimedFields(root, { map: {}, set: [], list: null, scalar: null }), {
    "f:map": {},
    "f:list": {},
    "f:scalar": {},
  });
});

test("a comparison tells what was added, modified and removed, with all below it", () => {
  const before = {
    scalar: 1,
    list: [{ name: "a", value: 1 }, { name: "b" }],
    map: { k: "v", gone: "x" },
    free: { a: 1, shape: 1 },
  };
  const after = {
    scalar: 2,
    list: [{ name: "c" }, { name: "a", value: 2 }],
    map: { k: "v", l: "w" },
    set: ["x"],
    free: { a: 1, shape: { b: 2 } },
  };
  const { added, modified, removed } = compare(root, before, after);
  assert.deepEqual(pathsOf(added).map(pathText), [
    ".free.shape.b",
    '.list[name="c"]',
    '.list[name="c"].name',
    ".map.l",
    ".set",
    '.set[="x"]',
  ]);
  assert.deepEqual(pathsOf(modified).map(pathText), [
    ".free.shape",
    '.list[name="a"].value',
    ".scalar",
  ]);
  assert.deepEqual(pathsOf(removed).map(pathText), [
    '.list[name="b"]',
    '.list[name="b"].name',
    ".map.gone",
  ]);
});

test("elements that stand there twice are one thing", () => {
  const twice = [
    { name: "a", value: 1 },
    { name: "a", value: 2 },
  ];
  const once = [{ name: "a", value: 1 }];
  const { added, removed } = compare(list, once, twice);
  assert.deepEqual(pathsOf(added).map(pathText), ['[name="a"]']);
  assert.equal(pathsOf(removed).length, 3);
  const back = compare(list, twice, once);
  assert.deepEqual(pathsOf(back.removed).map(pathText), ['[name="a"]']);
  assert.deepEqual(pathsOf(back.added).length, 3);
});

test("elements without a key cannot be told apart", () => {
  assert.throws(() => compare(list, [], [{ value: 1 }]), MisfitError);
  assert.throws(
    () => itemElement({ kind: "set" }, {}),
    /associative list without keys has an element that's a map type/,
  );
  const some: FieldType = {
    ...{ kind: "list-map", keys: ["port", "protocol"], defaults: { protocol: "TCP" } },
    element: item,
  };
  assert.equal(itemElement(some, { name: "x" }), 'k:{"protocol":"TCP"}');
  assert.throws(
    () => itemElement(list as Parameters<typeof itemElement>[0], {}),
    /omits all key fields \["name"\]/,
  );
});

const kindAt = (message: string, ...names: string[]): string | undefined => {
  let type: FieldType | undefined = messageType(`trireme.${message}`);
  for (const name of names) {
    if (type?.kind === "list-map" || type?.kind === "map") type = type.element;
    type = type?.kind === "struct" ? type.field(name) : undefined;
  }
  return type?.kind;
};

test("messages say what may have an owner of its own", () => {
  assert.equal(kindAt("core.v1.PodSpec", "containers"), "list-map");
  assert.equal(kindAt("core.v1.PodSpec", "containers", "args"), "leaf");
  assert.equal(kindAt("core.v1.PodSpec", "nodeSelector"), "leaf");
  assert.equal(kindAt("core.v1.PodSpec", "tolerations"), "leaf");
  assert.equal(kindAt("core.v1.PodSpec", "topologySpreadConstraints"), "list-map");
  assert.equal(kindAt("core.v1.PodSpec", "containers", "env", "valueFrom", "secretKeyRef"), "leaf");
  assert.equal(kindAt("core.v1.PodSpec", "containers", "resources", "limits"), "map");
  assert.equal(kindAt("core.v1.PodSpec", "containers", "resources", "claims"), "list-map");
  assert.equal(kindAt("apps.v1.Deployment", "spec", "selector"), "leaf");
  assert.equal(kindAt("apps.v1.Deployment", "status", "conditions"), "list-map");
  assert.equal(kindAt("core.v1.Service", "spec", "selector"), "leaf");
  assert.equal(kindAt("core.v1.Service", "spec", "externalIPs"), "leaf");
  assert.equal(kindAt("core.v1.Service", "metadata", "finalizers"), "set");
  assert.equal(kindAt("core.v1.Service", "metadata", "labels"), "map");
  assert.equal(kindAt("core.v1.Service", "metadata", "ownerReferences"), "list-map");
  assert.equal(kindAt("core.v1.Node", "nonsense"), undefined);
});
