import type { CallContext } from "../../../ha/rpc/types.ts";
import { authenticate, type User } from "../auth/authenticate.ts";
import { badRequest } from "../errors.ts";

export const headers = {
  requestId: "trireme-request-id",
  attempt: "trireme-attempt",
  fence: "trireme-fence",
} as const;

/** Trailer on an UNAVAILABLE answer that certainly did nothing. */
export const retryTrailer = { key: "trireme-retry", value: "safe" } as const;

/** What a guarded write claims: see ha/election/types.ts. */
export interface Fence {
  readonly namespace: string;
  readonly lease: string;
  readonly token: number;
}

/** One request, apart from the face through which it came. */
export interface Call {
  readonly user: User;
  readonly signal: AbortSignal | undefined;
  readonly requestId: string | undefined;
  /** 1 for the first, 2 and more for repeats. */
  readonly attempt: number;
  readonly fence: Fence | undefined;
  /** Told to the user although the request succeeds. */
  readonly warnings: string[];
  /** True once a write may have reached the log: from then on a failure is not surely harmless. */
  proposed: boolean;
  setTrailer(key: string, value: string): void;
}

/** Authenticates, and reads the headers that steer writes. */
export function callOf(context: CallContext, frontProxyNames: ReadonlySet<string>): Call {
  const user = authenticate(context, frontProxyNames);
  const header = (key: string) => {
    const value = context.metadata.get(key)[0];
    return value === undefined ? undefined : String(value);
  };
  const attempt = header(headers.attempt);
  const fence = header(headers.fence);
  return {
    user,
    // A getter: most reads never need the signal, which costs an AbortController.
    get signal() {
      return context.signal;
    },
    requestId: requestIdOf(header(headers.requestId)),
    attempt: attempt === undefined ? 1 : attemptOf(attempt),
    fence: fence === undefined ? undefined : fenceOf(fence),
    warnings: [],
    proposed: false,
    setTrailer: (key, value) => context.setTrailer(key, value),
  };
}

/** A call of the apiserver itself: bootstrap, heartbeats. */
export function internalCall(user: User): Call {
  return {
    user,
    signal: undefined,
    requestId: undefined,
    attempt: 1,
    fence: undefined,
    warnings: [],
    proposed: false,
    setTrailer: () => {},
  };
}

/** The store's limit is 128 bytes; a few are kept for the suffixes of calls with several writes. */
const requestIdLengthMax = 112;

function requestIdOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!/^[\x21-\x7e]+$/.test(text) || text.length > requestIdLengthMax) {
    throw badRequest(
      `header ${headers.requestId}: must be 1 to ${requestIdLengthMax} printable characters`,
    );
  }
  return text;
}

function attemptOf(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) {
    throw badRequest(`header ${headers.attempt}: "${text}" is not a positive number`);
  }
  return Number(text);
}

function fenceOf(text: string): Fence {
  const match = /^([a-z0-9.-]{1,253})\/([a-z0-9.:-]{1,253})=([1-9]\d{0,15})$/.exec(text);
  const [, namespace, lease, token] = match ?? [];
  if (namespace === undefined || lease === undefined || token === undefined) {
    throw badRequest(
      `header ${headers.fence}: "${text}" is not <namespace>/<lease>=<resourceVersion>`,
    );
  }
  return { namespace, lease, token: Number(token) };
}
