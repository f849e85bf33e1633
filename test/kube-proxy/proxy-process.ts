/** A proxy of its own process: `PEER-PORT NODE SERVICE-IP TARGET-IP TARGET-PORT`. */
import { productionClock as clock } from "../../ha/runtime/production/clock.ts";
import { AffinityTable } from "../../services/kube-proxy/affinity.ts";
import { Peers } from "../../services/kube-proxy/peers.ts";
import { ServiceProxy } from "../../services/kube-proxy/proxy.ts";
import { silent } from "../kubelet/support.ts";
import { ruleOf } from "./rule.ts";

const [peerPort, node = "", ip = "", targetIp = "", targetPort] = process.argv.slice(2);
const affinity = new AffinityTable();
const proxy = new ServiceProxy({
  clock,
  log: silent,
  random: () => 0,
  context: { affinity, nodeOfAddress: () => undefined },
  bindFailed: (_, message) => process.stderr.write(`${message}\n`),
});
const peers = new Peers({
  nodeName: node,
  nodeIP: "127.0.0.1",
  port: Number(peerPort),
  instance: `${node}-${process.pid}`,
  clock,
  log: silent,
  changed: () => undefined,
  learned: () => undefined,
  known: () => [],
});
const rule = ruleOf(ip, 80, [{ ip: targetIp, port: Number(targetPort) }]);
await proxy.apply(new Map([[rule.key, rule]]));
await peers.start();
process.stdout.write("ready\n");
