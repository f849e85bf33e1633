/** A DNS server over objects that a test puts in, and clients of it. */
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import { recordsOf } from "../../services/dns/records.ts";
import { type Forward, Responder } from "../../services/dns/responder.ts";
import { DnsServer } from "../../services/dns/server.ts";
import { Zone } from "../../services/dns/zone.ts";
import { silent } from "../kubelet/support.ts";

const domain = "cluster.local";

export function service(name: string, spec: Service["spec"], namespace = "default"): Service {
  return { metadata: { name, namespace }, spec };
}

/** Endpoints with the ports `http` 80 and `dns` 53/UDP. */
export function slice(endpoints: EndpointSlice["endpoints"], addressType = "IPv4"): EndpointSlice {
  const ports = [
    { name: "http", protocol: "TCP", port: 80 },
    { name: "dns", protocol: "UDP", port: 53 },
  ];
  return { addressType, endpoints, ports };
}

export interface World {
  readonly zone: Zone;
  readonly responder: Responder;
  put(service: Service, slices?: readonly EndpointSlice[]): void;
}

export function world(forward?: Forward): World {
  const zone = new Zone(domain);
  const responder = new Responder({ zone, address: "127.32.0.10", forward });
  return {
    zone,
    responder,
    put(object, slices = []) {
      const { namespace = "", name = "" } = object.metadata ?? {};
      zone.set(namespace, name, recordsOf(object, slices));
    },
  };
}

let nextHost = 1;

export interface Served {
  readonly address: string;
  readonly port: number;
  /** c-ares, which is what Node asks servers with. */
  readonly resolver: Resolver;
  close(): void;
}

/** On an address of this process alone. */
export async function serve({ responder }: World): Promise<Served> {
  const address = `127.${50 + (process.pid % 7)}.${process.pid % 200}.${nextHost++}`;
  const probe = createSocket("udp4").bind(0, address);
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  const server = new DnsServer({
    ...{ address, port, clock: productionClock, log: silent },
    respond: (bytes, transport) => responder.respond(bytes, transport),
  });
  await server.start();
  if (server.obstacle !== undefined) throw new Error(server.obstacle);
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  resolver.setServers([`${address}:${port}`]);
  return { address, port, resolver, close: () => server.close() };
}

/** A query as bytes, made apart from the code under test. */
export function query(name: string, type: number, more: Partial<QueryParts> = {}): Buffer {
  const { id = 0x1234, flags = 0x0100, opt, questions = 1, questionClass = 1 } = more;
  const labels = name === "" ? [] : name.split(".");
  const encoded = labels.flatMap((label) => [label.length, ...Buffer.from(label, "latin1")]);
  const optional = opt === undefined ? [] : [0, 0, 41, opt >> 8, opt & 255, 0, 0, 0, 0, 0, 0];
  return Buffer.from([
    ...[id >> 8, id & 255, flags >> 8, flags & 255],
    ...[0, questions, 0, 0, 0, 0, 0, opt === undefined ? 0 : 1],
    ...encoded,
    ...[0, 0, type, 0, questionClass],
    ...optional,
  ]);
}

interface QueryParts {
  readonly id: number;
  readonly flags: number;
  /** Datagram bytes of an OPT record. */
  readonly opt: number;
  readonly questions: number;
  readonly questionClass: number;
}

export interface Header {
  readonly id: number;
  readonly code: number;
  readonly truncated: boolean;
  readonly authoritative: boolean;
  readonly counts: readonly number[];
}

export function header(bytes: Buffer): Header {
  return {
    id: bytes.readUInt16BE(0),
    code: bytes[3]! & 15,
    truncated: (bytes[2]! & 2) !== 0,
    authoritative: (bytes[2]! & 4) !== 0,
    counts: [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at)),
  };
}
