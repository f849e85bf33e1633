/** Answers queries: from the zone at once, or from other servers for names that are not its own. */
import {
  addressRecord,
  type EncodedSet,
  encodeRecords,
  nameRecord,
  partsOf,
  questionName,
  recordSet,
} from "./encoded.ts";
import { dnsLimits } from "./limits.ts";
import { type Answer, encodeAnswer, type Transport } from "./message.ts";
import type { Records } from "./records.ts";
import {
  encodeName,
  encodeRecord,
  expandName,
  headerBytes,
  parseQuery,
  pointer,
  type Query,
  RecordType,
  ResponseCode,
  readRecord,
  skipName,
} from "./wire.ts";
import type { Found, Zone } from "./zone.ts";

/** Asks another server. Undefined: no server answered, or none is known. */
export type Forward = (query: Buffer, transport: Transport) => Promise<Buffer | undefined>;

export interface ResponderOptions {
  readonly zone: Zone;
  /** Of this server, for the zone's own NS record. */
  readonly address: string;
  /** Undefined: there are no other servers; names of other zones are refused. */
  readonly forward: Forward | undefined;
  /** Called for every answer. */
  readonly answered?: (type: number, code: number, source: "zone" | "upstream") => void;
}

interface CachedSets {
  readonly byType: Map<number, EncodedSet | null>;
  turn: number;
}

export class Responder {
  readonly #options: ResponderOptions;
  /** What has been encoded lives as long as the records themselves. */
  readonly #encoded = new WeakMap<Records, CachedSets>();
  readonly #zoneBytes: number;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#zoneBytes = encodeName(options.zone.domain).length;
  }

  /** Undefined: the message is to be dropped. Never throws, and a promise never rejects. */
  respond(bytes: Buffer, transport: Transport): Buffer | Promise<Buffer> | undefined {
    const query = parseQuery(bytes);
    if (query === undefined) return undefined;
    if ("code" in query) {
      const answer = { code: query.code, authoritative: false };
      this.#options.answered?.(0, query.code, "zone");
      return encodeAnswer(query, noQuestion, answer, transport);
    }
    const question = bytes.subarray(headerBytes, query.questionEnd);
    const found = this.#options.zone.lookup(query.name);
    if (found.kind === "foreign") return this.#fromUpstream(query, question, bytes, transport);
    if (found.kind === "alias" && query.type !== RecordType.cname) {
      return this.#throughAlias(query, question, found.target, transport);
    }
    return this.#encode(query, question, this.#answerOf(query, found), transport);
  }

  #encode(query: Query, question: Buffer, answer: Answer, transport: Transport): Buffer {
    this.#options.answered?.(query.type, answer.code, "zone");
    return encodeAnswer(query, question, answer, transport);
  }

  #answerOf(query: Query, found: Found): Answer {
    const { type } = query;
    if (found.kind === "missing") {
      const { zone } = found;
      const bytes = zone === this.#options.zone.domain ? this.#zoneBytes : encodeName(zone).length;
      return this.#negative(query, ResponseCode.nameError, bytes);
    }
    if (type === RecordType.any) return { ...positive, answers: minimalAny };
    const set = this.#setOf(type, found);
    if (set !== undefined) return { ...positive, ...set };
    const bytes = found.kind === "pointers" ? undefined : this.#zoneBytes;
    return this.#negative(query, ResponseCode.noError, bytes);
  }

  #setOf(
    type: number,
    found: Found,
  ): (Partial<EncodedSet> & { readonly first?: number }) | undefined {
    const { zone, address } = this.#options;
    switch (found.kind) {
      case "records":
        return this.#cachedSet(type, found);
      case "pointers": {
        if (type !== RecordType.ptr) return undefined;
        const names = found.names.map((name) => nameRecord(questionName, type, name));
        return { answers: recordSet(names, dnsLimits.messageBytesMax) };
      }
      case "alias":
        return { answers: recordSet([nameRecord(questionName, RecordType.cname, found.target)]) };
      case "apex": {
        if (type === RecordType.soa) {
          return { answers: recordSet([startOfAuthority(questionName, questionName)]) };
        }
        if (type !== RecordType.ns) return undefined;
        const server = `ns.dns.${zone.domain}`;
        return {
          answers: recordSet([nameRecord(questionName, type, server)]),
          additional: recordSet([addressRecord(encodeName(server), address)]),
        };
      }
      case "name server": {
        const records = { addresses: [address], locations: [] };
        return encodeRecords(type, records, questionName, String, () => []);
      }
      case "version": {
        if (type !== RecordType.txt) return undefined;
        const text = Buffer.from(`\u{5}${specificationVersion}`, "latin1");
        const record = encodeRecord(questionName, type, dnsLimits.ttlSeconds, text);
        return { answers: recordSet([record]) };
      }
      default:
        return undefined;
    }
  }

  #cachedSet(
    type: number,
    { records, service }: Found & { readonly kind: "records" },
  ): (EncodedSet & { readonly first: number }) | undefined {
    let cached = this.#encoded.get(records);
    if (cached === undefined) {
      cached = { byType: new Map(), turn: 0 };
      this.#encoded.set(records, cached);
    }
    let set = cached.byType.get(type);
    if (set === undefined) {
      set = this.#encodeRecords(type, records, service, questionName) ?? null;
      // The other types have no records anyway.
      if (type === RecordType.srv || set !== null) cached.byType.set(type, set);
    }
    if (set === null) return undefined;
    return { ...set, first: cached.turn++ };
  }

  #encodeRecords(
    type: number,
    records: Records,
    service: string,
    owner: Buffer,
  ): EncodedSet | undefined {
    const { zone } = this.#options;
    const full = (left: string) => `${left === "" ? "" : `${left}.`}${service}.svc.${zone.domain}`;
    return encodeRecords(type, records, owner, full, (left) => {
      const found = zone.lookup(full(left));
      return found.kind === "records" ? found.records.addresses : [];
    });
  }

  /**
   * Absence, with the SOA record that says how long it may be remembered (RFC 2308). `zone`: how
   * many bytes at the end of the question's name are the zone's; undefined: all of them.
   */
  #negative({ questionEnd }: Query, code: ResponseCode, zone: number | undefined): Answer {
    const nameBytes = questionEnd - headerBytes - 4;
    const at = pointer(headerBytes + nameBytes - Math.min(nameBytes, zone ?? nameBytes));
    return { code, authoritative: true, authority: startOfAuthority(at, at) };
  }

  async #fromUpstream(
    query: Query,
    question: Buffer,
    bytes: Buffer,
    transport: Transport,
  ): Promise<Buffer> {
    const { forward, answered } = this.#options;
    if (forward === undefined || !query.recursionDesired) {
      const answer = { code: ResponseCode.refused, authoritative: false };
      return this.#encode(query, question, answer, transport);
    }
    const reply = await forward(bytes, transport);
    if (reply === undefined) {
      const answer = { code: ResponseCode.serverFailure, authoritative: false };
      return this.#encode(query, question, answer, transport);
    }
    answered?.(query.type, reply.readUInt16BE(2) & 15, "upstream");
    return reply;
  }

  /** The alias itself, and what the name behind it has: clients expect the whole chain. */
  async #throughAlias(
    query: Query,
    question: Buffer,
    target: string,
    transport: Transport,
  ): Promise<Buffer> {
    const records = [nameRecord(questionName, RecordType.cname, target)];
    let name = target;
    // As long as the chain has no end.
    let code: ResponseCode = ResponseCode.serverFailure;
    for (let i = 0; i < dnsLimits.aliasesMax; i++) {
      const found = this.#options.zone.lookup(name);
      const owner = encodeName(name);
      if (found.kind === "alias") {
        records.push(nameRecord(owner, RecordType.cname, found.target));
        name = found.target;
        continue;
      }
      code = found.kind === "missing" ? ResponseCode.nameError : ResponseCode.noError;
      if (found.kind === "foreign") records.push(...(await this.#resolve(query, owner)));
      if (found.kind === "records") {
        const set = this.#encodeRecords(query.type, found.records, found.service, owner);
        if (set !== undefined) records.push(...partsOf(set.answers));
      }
      break;
    }
    const answers = recordSet(records, dnsLimits.messageBytesMax);
    return this.#encode(query, question, { code, authoritative: true, answers }, transport);
  }

  /** Addresses and aliases that another server has for the name; none when it cannot be asked. */
  async #resolve(query: Query, name: Buffer): Promise<readonly Buffer[]> {
    const { forward } = this.#options;
    const resolvable = query.type === RecordType.a || query.type === RecordType.aaaa;
    if (forward === undefined || !resolvable) return [];
    const asked = encodeQuery(name, query.type);
    const short = await forward(asked, "datagram");
    const reply =
      short !== undefined && isTruncated(short) ? await forward(asked, "stream") : short;
    return reply === undefined ? [] : chainOf(reply);
  }
}

const noQuestion = Buffer.alloc(0);
const specificationVersion = "1.1.0";
const positive = { code: ResponseCode.noError, authoritative: true } as const;

/** The least that answers a question for everything (RFC 8482, section 4.2). */
const minimalAny = recordSet([
  encodeRecord(
    questionName,
    RecordType.hinfo,
    dnsLimits.ttlSeconds,
    Buffer.from("\u{7}RFC8482\0", "latin1"),
  ),
]);

/** `apex`: where the zone's name stands. */
function startOfAuthority(owner: Buffer, apex: Buffer): Buffer {
  const label = (text: string) => Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
  const numbers = Buffer.alloc(20);
  const { ttlSeconds } = dnsLimits;
  // Serial, refresh, retry and expire are for secondary servers, of which there are none.
  for (const [i, value] of [1, 7_200, 1_800, 86_400, ttlSeconds].entries()) {
    numbers.writeUInt32BE(value, 4 * i);
  }
  const data = [label("ns"), label("dns"), apex, label("hostmaster"), apex, numbers];
  return encodeRecord(owner, RecordType.soa, ttlSeconds, Buffer.concat(data));
}

function isTruncated(reply: Buffer): boolean {
  return ((reply[2] ?? 0) & 0x02) !== 0;
}

function encodeQuery(name: Buffer, type: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(0x0100, 2);
  header.writeUInt16BE(1, 4);
  const rest = Buffer.alloc(4);
  rest.writeUInt16BE(type, 0);
  rest.writeUInt16BE(1, 2);
  return Buffer.concat([header, name, rest]);
}

/** The addresses and aliases of an answer, with their names written out. */
function chainOf(reply: Buffer): readonly Buffer[] {
  const records: Buffer[] = [];
  const afterName = skipName(reply, headerBytes);
  if (afterName === undefined) return [];
  let at = afterName + 4;
  const count = Math.min(reply.readUInt16BE(6), dnsLimits.messageBytesMax / 16);
  for (let i = 0; i < count; i++) {
    const record = readRecord(reply, at);
    const owner = expandName(reply, at);
    if (record === undefined || owner === undefined) break;
    at = record.end;
    const { type, ttl, dataStart, end } = record;
    if (type === RecordType.a || type === RecordType.aaaa) {
      records.push(encodeRecord(owner, type, ttl, reply.subarray(dataStart, end)));
    } else if (type === RecordType.cname) {
      const target = expandName(reply, dataStart);
      if (target !== undefined) records.push(encodeRecord(owner, type, ttl, target));
    }
  }
  return records;
}
