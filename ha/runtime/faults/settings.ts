/**
 * Faults that are set into a running member on purpose, and what keeps them within bounds. Drills
 * set them; a member takes them only when it was started with `--enable-faults`.
 */
import { Code, StatusError } from "../status-error.ts";

/** What happens to the messages between this member and one peer. Absent: nothing. */
export interface PeerFault {
  /** Name of the peer. */
  readonly peer: string;
  /** Messages to the peer, and from it, are lost. */
  readonly dropSent?: boolean | undefined;
  readonly dropReceived?: boolean | undefined;
  /** Share of the messages, both ways, that are lost: 0 to 1. */
  readonly dropShare?: number | undefined;
  /** Messages from the peer arrive so much later. */
  readonly delayMillis?: number | undefined;
}

export interface DiskFault {
  /** A write is durable only so much later. */
  readonly slowMillis?: number | undefined;
  /** The next write fails, and with it every later one. */
  readonly failure?: "full" | "io" | undefined;
}

export interface FaultSettings {
  readonly peers: readonly PeerFault[];
  readonly disk: DiskFault;
  /** Added to the wall time; the monotonic time goes on as it is. */
  readonly clockOffsetMillis: number;
  /** All of this is undone by itself after so long. */
  readonly expireMillis: number;
}

/** Sets and tells the faults of one member. */
export interface FaultControl {
  /** Replaces all faults. Throws a StatusError that names the field and its bounds. */
  set(settings: FaultSettings): void;
  readonly settings: FaultSettings;
  /** Called after every change; answers its own undoing. */
  onChange(listener: (settings: FaultSettings) => void): () => void;
}

export const noFaults: FaultSettings = {
  peers: [],
  disk: {},
  clockOffsetMillis: 0,
  expireMillis: 0,
};

const faultLimits = {
  peers: 64,
  delayMillis: 10_000,
  slowMillis: 10_000,
  clockOffsetMillis: 10 * 365 * 86_400_000,
  expireMillis: 3_600_000,
} as const;

/** Throws a StatusError that names the first field out of its bounds. */
export function checkFaults(settings: FaultSettings): void {
  const { peers, disk, clockOffsetMillis, expireMillis } = settings;
  within("peers", peers.length, 0, faultLimits.peers);
  for (const [i, { peer, delayMillis = 0, dropShare = 0 }] of peers.entries()) {
    if (peer === "") throw invalid(`peers[${i}].peer: the name of a member is required`);
    within(`peers[${i}].delayMillis`, delayMillis, 0, faultLimits.delayMillis);
    within(`peers[${i}].dropShare`, dropShare, 0, 1);
  }
  within("disk.slowMillis", disk.slowMillis ?? 0, 0, faultLimits.slowMillis);
  const { clockOffsetMillis: offsetMax } = faultLimits;
  within("clockOffsetMillis", clockOffsetMillis, -offsetMax, offsetMax);
  if (isNone(settings)) return;
  within("expireMillis", expireMillis, 1, faultLimits.expireMillis);
}

function isNone({ peers, disk, clockOffsetMillis }: FaultSettings): boolean {
  return (
    peers.length === 0 && !disk.slowMillis && disk.failure === undefined && clockOffsetMillis === 0
  );
}

function within(field: string, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return;
  throw invalid(`${field}: ${value} is not in ${low}..${high}`);
}

function invalid(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}
