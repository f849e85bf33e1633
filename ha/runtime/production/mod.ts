/**
 * The real world. Programs without disk and peers (scheduler, balancer) take
 * {@link productionClock} and {@link createLog} alone; libp2p and LevelDB are loaded only by
 * {@link openProductionRuntime}.
 */
import { withFaults } from "../faults/mod.ts";
import type { Disk, Runtime } from "../types.ts";
import { productionClock } from "./clock.ts";
import { loadOrCreateIdentity, type MemberIdentity } from "./identity.ts";
import type { Introduced } from "./introductions.ts";
import type { LevelDiskOptions } from "./level-disk.ts";
import type { Libp2pNetworkOptions } from "./libp2p-network.ts";
import { createLog, type LogOptions } from "./log.ts";
import type { PeerLinkLimits } from "./peer-link.ts";
import { productionRandom } from "./random.ts";

export { productionClock } from "./clock.ts";
export { loadOrCreateIdentity, type MemberIdentity, memberIdOf } from "./identity.ts";
export { type Introduced, TokenError } from "./introductions.ts";
export type { LevelDiskOptions } from "./level-disk.ts";
export { createLog, LogLevel, type LogOptions } from "./log.ts";
export type { PeerLinkLimits } from "./peer-link.ts";
export { productionRandom } from "./random.ts";

export interface ProductionRuntimeOptions {
  /** The LevelDB of this member; made if it does not exist. */
  readonly dataDirectory: string;
  /** Where peers connect. Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Ed25519 private key; made at first start. */
  readonly identityFile: string;
  readonly log?: LogOptions;
  /** On every line of the log. */
  readonly logFields?: Readonly<Record<string, unknown>>;
  readonly disk?: LevelDiskOptions;
  readonly links?: Partial<PeerLinkLimits>;
  /** Peers on this machine that are told so too get messages unencrypted. */
  readonly plaintextPeers?: boolean | undefined;
  readonly introductions?: Libp2pNetworkOptions["introductions"];
  /** Faults can be set on purpose, into clock, disk and network. */
  readonly enableFaults?: boolean | undefined;
}

export interface ProductionRuntime extends Runtime {
  /** Calls the member at `address` (host:port), whatever its identity (`introductions.ts`). */
  introduce(address: string): Promise<Introduced>;
  readonly identity: MemberIdentity;
  /** `host:port` where peers connect; undefined until `network.start`. */
  peerAddress(): string | undefined;
  /** Closes the network, then the disk. Idempotent. */
  close(): Promise<void>;
}

/** Rejects with a `DiskError` when the data directory cannot be used. Begins no network traffic. */
export async function openProductionRuntime(
  options: ProductionRuntimeOptions,
): Promise<ProductionRuntime> {
  const log = createLog(options.logFields, options.log);
  const clock = productionClock;
  const random = productionRandom;
  const identity = await loadOrCreateIdentity(options.identityFile);
  const [disk, { Libp2pNetwork }] = await Promise.all([
    openDisk(options, log),
    import("./libp2p-network.ts"),
  ]);
  const network = new Libp2pNetwork({
    identity,
    listen: options.listen,
    clock,
    random,
    log,
    plaintext: options.plaintextPeers,
    introductions: options.introductions,
    ...(options.links && { limits: options.links }),
  });
  let closing: Promise<void> | undefined;
  const parts = { clock, random, disk, network };
  const faulty = options.enableFaults ? withFaults(parts) : undefined;
  const closeInOrder = async (): Promise<void> => {
    faulty?.faults.close();
    try {
      await (faulty ?? parts).network.close();
    } finally {
      await disk.close();
    }
  };
  return {
    ...parts,
    ...faulty,
    log,
    identity,
    introduce: (address) => network.introduce(address),
    peerAddress: () => network.address,
    close: () => {
      closing ??= closeInOrder();
      return closing;
    },
  };
}

async function openDisk(options: ProductionRuntimeOptions, log: Runtime["log"]): Promise<Disk> {
  const { openLevelDisk } = await import("./level-disk.ts");
  return openLevelDisk(options.dataDirectory, log, options.disk);
}
