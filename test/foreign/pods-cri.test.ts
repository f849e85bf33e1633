/** Three machines in network namespaces, each with a containerd of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "../../proto/gen/core.ts";
import { until } from "../e2e/cluster.ts";
import { needsContainerd } from "./containerd.ts";
import { cutOffNode } from "./cut-off-case.ts";
import { needs } from "./needs.ts";
import { podCases } from "./pod-cases.ts";
import { criWorld } from "./pod-world.ts";

const prefix = `tp${process.pid}`;
const missing = [
  needs("kubectl", "kubernetes-client"),
  needs("nft", "nftables"),
  needsContainerd(prefix),
];
const skip = missing.find((each) => each.skip !== false)?.skip ?? false;

podCases(
  "containerd",
  { skip },
  () => criWorld(prefix),
  (suite, world) => {
    const { container, pod, phase, get } = suite;
    cutOffNode(suite, world);

    test("a runtime that dies and returns leaves the pods untouched", async () => {
      const [machine] = world().machines;
      assert.ok(machine);
      const nodeName = machine.node;
      const tolerations = [{ key: "node.kubernetes.io/not-ready", operator: "Exists" }];
      await world().apply(
        pod("untouched", container("exec sleep 1000"), { nodeName, tolerations }),
      );
      const before = await phase("untouched", "Ready");
      const ready = async () => {
        const { status } = await get<Node>("node", nodeName);
        return status?.conditions?.find(({ type }) => type === "Ready");
      };
      await machine.containerd.kill();
      const down = await until("the node to say so", async () => {
        const now = await ready();
        return now?.status === "False" && now;
      });
      assert.equal(down.reason, "KubeletNotReady");
      assert.match(down.message ?? "", /container runtime is down/);
      await machine.containerd.start();
      await until("the node to be ready again", async () => (await ready())?.status === "True");
      const after = await get<Pod>("pod", "untouched");
      const runs = ({ status }: Pod) => status?.containerStatuses?.[0];
      assert.equal(runs(after)?.containerID, runs(before)?.containerID);
      assert.equal(runs(after)?.restartCount, 0);
      assert.match(runs(after)?.containerID ?? "", /^containerd:\/\/[0-9a-f]{64}$/);
      assert.equal(await world().kubectl("exec", "untouched", "--", "echo", "alive"), "alive\n");
      await world().kubectl("delete", "pod", "untouched", "--wait=false");
    });
  },
);
