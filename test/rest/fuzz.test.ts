/** Whatever is sent, what reads a request's head answers or refuses it, and fails in no other way. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { acceptable, negotiate } from "../../services/apiserver/faces/rest/negotiate.ts";
import {
  deleteOptions,
  listOptions,
  watchOptions,
  writeOptions,
} from "../../services/apiserver/faces/rest/query.ts";
import { parseTarget } from "../../services/apiserver/faces/rest/target.ts";
import { parseYaml } from "../../services/kinds/mod.ts";

const refusals = new Set<Code>([Code.invalidArgument, Code.unimplemented, Code.resourceExhausted]);

/** Undefined: the input was refused as the client's mistake. */
function answerOf<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    assert.ok(thrown instanceof StatusError, `not a refusal: ${thrown}`);
    assert.ok(refusals.has(thrown.code), `code ${thrown.code}: ${thrown.message}`);
    return undefined;
  }
}

const runs = { numRuns: 2_000 };

const methods = fc.constantFrom("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW", "");
const part = fc.oneof(
  fc.constantFrom("api", "apis", "v1", "watch", "namespaces", "pods", "status", "apps", "", ".."),
  fc.constantFrom("%2F", "%00", "%", "%E2%82", "%zz", "a b", "__proto__", "proxy"),
  fc.string({ maxLength: 8 }),
);
const values = fc.oneof(
  fc.constantFrom("true", "false", "1", "0", "-1", "1e9", "999999999999999999999", "All", "", "a="),
  fc.constantFrom(
    "a in (b",
    "!a",
    "a!=b",
    "metadata.name=x",
    "eyJ2Ijoi",
    "Exact",
    "Orphan",
    "\u0000",
  ),
  fc.string({ maxLength: 12 }),
);
const names = fc.constantFrom(
  ...["watch", "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector"],
  ...["fieldSelector", "timeoutSeconds", "allowWatchBookmarks", "sendInitialEvents", "dryRun"],
  ...["fieldManager", "fieldValidation", "gracePeriodSeconds", "propagationPolicy"],
  ...["orphanDependents", "toString", "__proto__"],
);
const queries = fc
  .array(fc.tuple(names, values), { maxLength: 5 })
  .map((pairs) => new URLSearchParams(pairs));

describe("any head of a request", () => {
  test("has a target, or is refused", () => {
    const targets = fc.tuple(fc.array(part, { maxLength: 9 }), queries).map(([parts, query]) => {
      return `/${parts.join("/")}?${query}`;
    });
    fc.assert(
      fc.property(methods, targets, (method, text) => {
        const target = answerOf(() => parseTarget(method, text));
        if (target?.kind !== "resource") return;
        for (const field of ["plural", "namespace", "name", "subresource"] as const) {
          assert.equal(typeof target[field], "string", field);
        }
        assert.notEqual(target.plural, "");
      }),
      runs,
    );
  });

  test("has options, or is refused", () => {
    const bodies = fc.option(fc.jsonValue(), { nil: undefined });
    fc.assert(
      fc.property(queries, bodies, (query, body) => {
        const list = answerOf(() => listOptions(query, "default"));
        if (list !== undefined) assert.equal(list.namespace, "default");
        answerOf(() => watchOptions(query, "default", "one"));
        answerOf(() => writeOptions(query));
        const warnings: string[] = [];
        answerOf(() => deleteOptions(query, body, warnings));
      }),
      runs,
    );
  });

  test("names a form that this server has, or is refused", () => {
    const piece = fc.constantFrom(
      ...["application/json", "application/yaml", "*/*", ";as=Table", ";v=v1", ";g=meta.k8s.io"],
      ...[";q=0", ";q=0.5", ";q=x", ",", ";", "=", " ", "text/html", ";as=__proto__"],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const header = pieces.join("");
        const all = answerOf(() => acceptable(header));
        const chosen = answerOf(() => negotiate(header));
        if (chosen !== undefined) assert.ok(all?.includes(chosen));
      }),
      runs,
    );
  });
});

describe("any text", () => {
  test("is YAML, or is refused", () => {
    const piece = fc.constantFrom(
      ...["a: ", "b", "\n", "  ", "- ", "{", "}", "[", "]", ",", '"', "'", "|", ">", "&x ", "*x"],
      ...[
        "---\n",
        "...\n",
        "!!binary ",
        "!!int ",
        "<<: ",
        "? ",
        "# c",
        "%TAG",
        "\t",
        "é",
        "1",
        "~",
      ],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const documents = answerOf(() => parseYaml(pieces.join("")));
        if (documents !== undefined) assert.ok(Array.isArray(documents));
      }),
      { numRuns: 1_000 },
    );
  });
});
