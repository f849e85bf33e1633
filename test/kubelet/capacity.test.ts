import assert from "node:assert/strict";
import { cpus, totalmem } from "node:os";
import { test } from "node:test";
import { parseNodeCapacity, shareOfMachine } from "../../services/cli/layout.ts";
import { bytes, cpuMillis } from "../../services/kinds/mod.ts";

test("the nodes of one machine together claim no more than it has", () => {
  for (const nodes of [1, 2, 3, 7, 50]) {
    const share = shareOfMachine(nodes, "/tmp");
    const cpu = cpuMillis(share.cpu) * nodes;
    const memory = bytes(share.memory) * nodes;
    assert.ok(cpu <= cpus().length * 1000 && cpu > cpus().length * 1000 - nodes);
    assert.ok(memory <= totalmem() && memory > totalmem() - nodes * 1024);
    assert.ok(bytes(share["ephemeral-storage"]) > 0);
  }
});

test("--node-capacity: amounts by name, and what is wrong with others", () => {
  assert.deepEqual(parseNodeCapacity("cpu=4,memory=8Gi"), { cpu: "4", memory: "8Gi" });
  for (const bad of ["cpu", "cpu=x", "disk=1", "memory=0", "cpu=-1"]) {
    assert.throws(() => parseNodeCapacity(bad), /--node-capacity .*is not one of cpu, memory/, bad);
  }
});
