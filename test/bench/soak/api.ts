/** ConfigMaps that are made and deleted again through the apiservers of three masters, over gRPC. */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "../../../ha/rpc/mod.ts";
import { ConfigMapsService } from "../../../proto/gen/core.ts";
import { MaintenanceClient } from "../../../proto/gen/etcd.ts";
import { TestCluster } from "../../e2e/cluster.ts";
import { LeanClient } from "../api/lean-client.ts";
import type { Done, Subject } from "./subject.ts";

const namespace = "default";
const connectionsEach = 2;
const workers = 64;
/** Pairs under way: beyond, those that are due wait, and their wait counts. */
const pairsMax = 1_000;
const value = "v".repeat(256);

export async function withApi(work: (subject: Subject) => Promise<void>): Promise<void> {
  const cluster = new TestCluster();
  const closers: (() => void)[] = [];
  try {
    await cluster.up(["--nodes", "0", "--bridge", "false"]);
    const { masters, ca, clientCert, clientKey } = cluster.endpoints;
    const pem = (file: string) => readFileSync(file, "utf8");
    const tls = { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) };
    const members = masters.map(({ pid, etcd }) => {
      const maintenance = connect(MaintenanceClient, { addresses: [etcd], tls });
      closers.push(() => maintenance.close());
      return { pid: pid ?? 0, maintenance };
    });
    const dialled = Array.from({ length: connectionsEach }, () => masters).flat();
    const clients = await Promise.all(dialled.map(({ grpc }) => LeanClient.connect(grpc, tls)));
    closers.push(...clients.map((client) => () => client.close()));
    await work(subjectOf(members, clients));
  } finally {
    for (const close of closers) close();
    await cluster.close();
  }
}

function subjectOf(members: Subject["members"], clients: readonly LeanClient[]): Subject {
  const run = `soak-${Date.now().toString(36)}`;
  let made = 0;
  /** From when it was due to its first answer, and from there to the second. */
  const pair = async (due: number, millis: number[]) => {
    const number = made++;
    const name = `${run}-${number}`;
    const client = clients[number % clients.length] as LeanClient;
    const { create, delete: remove } = ConfigMapsService;
    const object = { metadata: { name, namespace }, data: { value } };
    await client.call(create.path, create.requestSerialize({ object } as never));
    const created = performance.now();
    await client.call(remove.path, remove.requestSerialize({ name, namespace } as never));
    millis.push(created - due, performance.now() - created);
  };
  return {
    title: `ConfigMaps made and deleted, calls/s at ${workers} at once`,
    members,
    async atPeak(seconds) {
      const millis: number[] = [];
      const began = performance.now();
      const work = async () => {
        while (performance.now() - began < 1_000 * seconds) await pair(performance.now(), millis);
      };
      await Promise.all(Array.from({ length: workers }, work));
      return done(millis, began);
    },
    async atRate(perSecond, seconds) {
      const millis: number[] = [];
      const began = performance.now();
      const underWay = new Set<Promise<void>>();
      const pairs = Math.round((perSecond * seconds) / 2);
      for (let number = 0; number < pairs; number++) {
        const due = began + (2_000 * number) / perSecond;
        const early = due - performance.now();
        if (early > 1) await pause(early);
        while (underWay.size >= pairsMax) await Promise.race(underWay);
        const one = pair(due, millis).finally(() => underWay.delete(one));
        underWay.add(one);
      }
      await Promise.all(underWay);
      return done(millis, began);
    },
  };
}

function done(millis: number[], began: number): Done {
  const seconds = (performance.now() - began) / 1_000;
  millis.sort((a, b) => a - b);
  const at = (part: number) => millis[Math.floor((millis.length - 1) * part)] ?? Number.NaN;
  const { length: requests } = millis;
  return { requests, perSecond: requests / seconds, p50: at(0.5), p99: at(0.99) };
}
