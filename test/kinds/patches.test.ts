import assert from "node:assert/strict";
import { test } from "node:test";
import { applyPatch, copyJson, PatchType } from "../../services/kinds/mod.ts";
import { deploymentDocument, type Loose, podDocument } from "./documents.ts";
import { registry } from "./registry.ts";

const pods = registry.find("pods")!;
const deployments = registry.find("deployments")!;

function patch(type: string, document: Loose, body: unknown, kind = pods): Loose {
  const before = copyJson(document);
  const patched = applyPatch(kind, type, document, Buffer.from(JSON.stringify(body)));
  assert.deepEqual(document, before, "the document itself stays as it was");
  return patched;
}

test("JSON patch: the operations of RFC 6902", () => {
  const rows: [Loose, unknown[], Loose][] = [
    [{ a: 1 }, [{ op: "add", path: "/b", value: [1] }], { a: 1, b: [1] }],
    [{ a: [1, 3] }, [{ op: "add", path: "/a/1", value: 2 }], { a: [1, 2, 3] }],
    [{ a: [1] }, [{ op: "add", path: "/a/-", value: 2 }], { a: [1, 2] }],
    [{ a: { b: 1, c: 2 } }, [{ op: "remove", path: "/a/b" }], { a: { c: 2 } }],
    [{ a: [1, 2, 3] }, [{ op: "remove", path: "/a/1" }], { a: [1, 3] }],
    [{ a: 1 }, [{ op: "replace", path: "/a", value: null }], { a: null }],
    [{ a: { x: 1 }, b: {} }, [{ op: "move", from: "/a/x", path: "/b/y" }], { a: {}, b: { y: 1 } }],
    [{ a: [1] }, [{ op: "copy", from: "/a", path: "/b" }], { a: [1], b: [1] }],
    [{ a: { b: [1] } }, [{ op: "test", path: "/a", value: { b: [1] } }], { a: { b: [1] } }],
    [
      { "a/b": 1, "m~n": 2 },
      [
        { op: "replace", path: "/a~1b", value: 3 },
        { op: "remove", path: "/m~0n" },
      ],
      { "a/b": 3 },
    ],
    [{ a: 1 }, [{ op: "replace", path: "", value: { z: 1 } }], { z: 1 }],
    [{ a: 1 }, [], { a: 1 }],
  ];
  for (const [document, operations, expected] of rows) {
    assert.deepEqual(patch(PatchType.json, document, operations), expected);
  }
});

test("JSON patch: what cannot be applied names its operation", () => {
  const document = { a: [1], b: "x" };
  const rows: [unknown, RegExp, string][] = [
    [{}, /must be an array/, "BadRequest"],
    [[{ op: "frob", path: "/a" }], /operation 0: unknown "op" "frob"/, "BadRequest"],
    [[{ op: "add", path: "/c" }], /operation 0: add needs a "value"/, "BadRequest"],
    [
      [{ op: "add", path: "c", value: 1 }],
      /operation 0: "path" must be a JSON pointer/,
      "BadRequest",
    ],
    [[{ op: "copy", path: "/c" }], /operation 0: "from" must be/, "BadRequest"],
    [[{ op: "move", from: "/a", path: "/a/0" }], /into itself/, "BadRequest"],
    [[{ op: "add", path: "/__proto__/x", value: 1 }], /must not contain/, "BadRequest"],
    [
      [
        { op: "add", path: "/b2", value: 1 },
        { op: "remove", path: "/nope" },
      ],
      /operation 1 \(remove "\/nope"\): there is nothing/,
      "Invalid",
    ],
    [
      [{ op: "test", path: "/b", value: "y" }],
      /operation 0 \(test "\/b"\): the test failed/,
      "Invalid",
    ],
    [[{ op: "add", path: "/a/7", value: 1 }], /operation 0 \(add "\/a\/7"\)/, "Invalid"],
    [[{ op: "add", path: "/x/y/z", value: 1 }], /operation 0/, "Invalid"],
    [[{ op: "remove", path: "" }], /whole document/, "Invalid"],
    [[{ op: "replace", path: "", value: 1 }], /no object/, "Invalid"],
  ];
  for (const [operations, message, reason] of rows) {
    assert.throws(
      () => patch(PatchType.json, document, operations),
      (thrown: Loose) => message.test(thrown.message) && thrown.detail?.reason === reason,
      JSON.stringify(operations),
    );
  }
});

test("merge patch: the cases of RFC 7386", () => {
  const rows: [Loose, Loose, Loose][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [document, body, expected] of rows) {
    assert.deepEqual(patch(PatchType.merge, document, body), expected);
  }
  assert.throws(() => patch(PatchType.merge, {}, [1]), /must be a JSON object/);
});

const names = (list: Loose[]): string => list.map(({ name }) => name).join(",");
const withContainers = (...list: string[]): Loose => ({
  ...podDocument(),
  spec: { containers: list.map((name) => ({ name, image: "one" })) },
});
const strategic = (document: Loose, body: unknown): Loose =>
  patch(PatchType.strategicMerge, document, body);

test("strategic merge: keyed lists merge, others are replaced", () => {
  const document = withContainers("a", "b");
  document.spec.containers[0].args = ["x", "y"];
  document.spec.tolerations = [{ key: "old" }];
  const patched = strategic(document, {
    metadata: { labels: { x: "1" } },
    spec: {
      containers: [
        { name: "a", args: ["z"] },
        { name: "c", image: "two" },
      ],
      tolerations: [{ key: "new" }],
    },
  });
  // A new element stands where the patch has it, before those that the patch does not name.
  assert.equal(names(patched.spec.containers), "a,c,b");
  assert.deepEqual(patched.spec.containers[0], { name: "a", image: "one", args: ["z"] });
  assert.deepEqual(patched.spec.tolerations, [{ key: "new" }]);
  assert.deepEqual(patched.metadata.labels, { x: "1" });
});

test("strategic merge: directives", () => {
  const three = withContainers("a", "b", "c");
  const rows: [Loose, (patched: Loose) => unknown, unknown][] = [
    [{ containers: [{ name: "b", $patch: "delete" }] }, (p) => names(p.spec.containers), "a,c"],
    [
      { containers: [{ $patch: "replace" }, { name: "z", image: "i" }] },
      (p) => names(p.spec.containers),
      "z",
    ],
    [
      { containers: [{ name: "b", $patch: "merge", image: "new" }] },
      (p) => p.spec.containers[1].image,
      "new",
    ],
    [
      { "$setElementOrder/containers": [{ name: "c" }, { name: "a" }, { name: "b" }] },
      (p) => names(p.spec.containers),
      "c,a,b",
    ],
    [
      {
        "$setElementOrder/containers": [{ name: "d" }, { name: "a" }],
        containers: [{ name: "d", image: "i" }],
      },
      (p) => names(p.spec.containers),
      "d,a,b,c",
    ],
    [{ $patch: "replace", hostname: "h" }, (p) => p.spec, { hostname: "h" }],
    [{ $retainKeys: ["hostname"], hostname: "h" }, (p) => p.spec, { hostname: "h" }],
    [{ containers: null }, (p) => p.spec, {}],
    [{ hostname: null, subdomain: "s" }, (p) => p.spec.subdomain, "s"],
    [{ $patch: "delete" }, (p) => p.spec, undefined],
  ];
  for (const [spec, read, expected] of rows) {
    assert.deepEqual(read(strategic(three, { spec })), expected, JSON.stringify(spec));
  }
});

test("strategic merge: sets of scalars", () => {
  const document = podDocument();
  document.metadata.finalizers = ["a.io/x", "a.io/y"];
  const added = strategic(document, { metadata: { finalizers: ["a.io/z"] } });
  assert.deepEqual(added.metadata.finalizers, ["a.io/z", "a.io/x", "a.io/y"]);
  const removed = strategic(document, {
    metadata: { "$deleteFromPrimitiveList/finalizers": ["a.io/x"] },
  });
  assert.deepEqual(removed.metadata.finalizers, ["a.io/y"]);
});

test("strategic merge: changing the strategy of a deployment as kubectl apply does", () => {
  const document = deploymentDocument();
  document.spec.strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } };
  const body = { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } };
  const patched = patch(PatchType.strategicMerge, document, body, deployments);
  assert.deepEqual(patched.spec.strategy, { type: "Recreate" });
});

test("strategic merge: errors", () => {
  const document = withContainers("a", "b");
  const rows: [Loose, RegExp][] = [
    [
      { containers: [{ image: "i" }] },
      /spec.containers\[0\]: does not contain the declared merge key: name/,
    ],
    [{ containers: ["x"] }, /spec.containers\[0\]: must be an object/],
    [{ $patch: "frob" }, /spec: unknown \$patch "frob"/],
    [{ containers: [{ name: "a", $patch: "x" }] }, /unknown \$patch "x"/],
    [{ $retainKeys: ["a"], hostname: "h" }, /hostname is patched but not in \$retainKeys/],
    [
      {
        "$setElementOrder/containers": [{ name: "b" }, { name: "a" }],
        containers: [{ name: "a" }, { name: "b" }],
      },
      /doesn't match its \$setElementOrder/,
    ],
    [{ "$setElementOrder/tolerations": [] }, /tolerations does not merge/],
  ];
  for (const [spec, message] of rows) {
    assert.throws(() => strategic(document, { spec }), message, JSON.stringify(spec));
  }
});

test("patches as bytes: bad JSON, bad UTF-8, duplicate fields, unknown type", () => {
  const apply = (type: string, bytes: Uint8Array) => applyPatch(pods, type, podDocument(), bytes);
  assert.throws(() => apply(PatchType.merge, Buffer.from("{")), /invalid JSON at line 1/);
  assert.throws(() => apply(PatchType.merge, Buffer.from([0x22, 0xff, 0x22])), /not UTF-8/);
  const problems: string[] = [];
  applyPatch(pods, PatchType.merge, podDocument(), Buffer.from('{"a":1,"a":2}'), problems);
  assert.deepEqual(problems, ['duplicate field "a"']);
  assert.throws(
    () => apply("text/plain", Buffer.from("{}")),
    /patch type "text\/plain" is not one of/,
  );
});

test("copies of copies are bounded", () => {
  const operations = Array.from({ length: 40 }, (_, index) => ({
    op: "copy",
    from: "",
    path: `/c${index}`,
  }));
  assert.throws(
    () => patch(PatchType.json, podDocument(), operations),
    /copies add up to more than/,
  );
});

test("a long keyed list merges in linear time", () => {
  const names = Array.from({ length: 5_000 }, (_, index) => `c${index}`);
  const patched = strategic(withContainers(...names), {
    spec: { containers: names.map((name) => ({ name, image: "two" })) },
  });
  assert.equal(patched.spec.containers.length, names.length);
  assert.ok(patched.spec.containers.every(({ image }: Loose) => image === "two"));
});
