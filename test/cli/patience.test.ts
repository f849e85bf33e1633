import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Patience } from "../../services/cli/commands/up.ts";
import type { Endpoints } from "../../services/cli/endpoints.ts";

type Part = Pick<Endpoints, "masters" | "serving">;

const master = { name: "m", grpc: "", peer: "", etcd: "", https: "", leader: false };

function endpoints(pids: readonly (number | undefined)[], serving = { masters: 0, nodes: 0 }) {
  const part: Part = { masters: pids.map((pid) => ({ ...master, pid })), serving };
  return { ...part, nodes: [], balancers: [], schedulers: [], controllerManagers: [] } as object;
}

const at = (patience: Patience, seconds: number, seen: object | undefined) =>
  patience.lost(seconds * 1_000, seen as Endpoints | undefined);

describe("how long a start is waited for", () => {
  test("a minute and a half in which nothing advances", () => {
    const patience = new Patience(0);
    assert.equal(at(patience, 90, undefined), undefined);
    assert.match(at(patience, 91, undefined) ?? "", /^not ready after 91 s, .*advanced for 91 s/);
  });

  test("longer when more comes up", () => {
    const patience = new Patience(0);
    assert.equal(at(patience, 50, endpoints([1, undefined])), undefined);
    assert.equal(at(patience, 100, endpoints([1, 2])), undefined);
    assert.equal(at(patience, 150, endpoints([1, 2], { masters: 1, nodes: 0 })), undefined);
    const last = at(patience, 181, endpoints([1, 2], { masters: 2, nodes: 1 }));
    assert.match(last ?? "", /^not ready after 181 s.*serve: 2, nodes that are ready: 1/);
  });

  test("a process that ends and starts again is no advance", () => {
    const patience = new Patience(0);
    assert.equal(at(patience, 10, endpoints([1, 2])), undefined);
    assert.equal(at(patience, 40, endpoints([1, undefined])), undefined);
    assert.equal(at(patience, 60, endpoints([1, 3])), undefined);
    assert.match(at(patience, 101, endpoints([1, 4])) ?? "", /advanced for 91 s/);
  });
});
