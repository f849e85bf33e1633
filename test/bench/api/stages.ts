/**
 * The stages of a request, by where their code is: a sample belongs to the innermost frame of its
 * stack that one of these rules knows. So what a shared library does counts for who called it.
 */

export interface Frame {
  readonly functionName: string;
  /** Of its file; "" for what is built in. */
  readonly url: string;
}

type Rule = readonly [stage: string, file: RegExp, functionName?: RegExp];

/** In the order in which a request goes through them, as the report shows them. */
const rules: readonly Rule[] = [
  [
    "sockets and TLS",
    /^node:(_tls|net|internal\/stream_base|internal\/streams|tls)|ha\/http2\/socket/,
  ],
  ["HTTP/2", /\/ha\/http2\//],
  ["gRPC", /\/ha\/rpc\/|\/services\/apiserver\/faces\/grpc\//],
  ["REST", /\/services\/apiserver\/faces\//],
  ["audit", /\/services\/apiserver\/audit\/|\/audited-call\.ts/],
  ["flow control", /\/verbs\/(flow-control|seats|flow[^/]*)\.ts|\/services\/apiserver\/flow/],
  ["authentication, authorization", /\/services\/apiserver\/auth\//],
  ["decode", /\/verbs\/(body|wire-fields|warnings)\.ts|\/storage\/wire\.ts|unknown-wire-fields/],
  ["admission", /\/services\/apiserver\/admission\//],
  ["managed fields", /\/managed-fields/],
  ["defaults", /\/services\/kinds\/.*defaults\.ts/],
  ["validation", /\/services\/kinds\//],
  ["encode", /\/storage\/(stored-text|managed-text)\.ts/, /^(encodeStored|managedText)/],
  [
    "events: forms for watchers",
    /\/storage\/(watch-item|stored-object|stored-text|managed-text)\.ts/,
  ],
  ["events: cache", /\/services\/apiserver\/storage\//],
  ["verbs", /\/services\/apiserver\/verbs\//],
  ["rest of the apiserver", /\/services\/apiserver\//],
  [
    "hand-over between threads",
    /\/ha\/member\/(worker-|thread|remote)|messageport|node:internal\/worker/,
  ],
  ["proposal and consensus", /\/ha\/(raft|member)\//],
  [
    "peers",
    /\/ha\/runtime\/production\/(peer|libp2p)|\/node_modules\/(@chainsafe|@libp2p|it-|uint8)/,
  ],
  [
    "log",
    /\/ha\/runtime\/production\/(journal|level)|\/node_modules\/(classic-level|abstract-level)/,
  ],
  ["apply", /\/ha\/store\//],
  ["balancer", /\/ha\/balancer\//],
];

const collecting = "garbage collection, on the thread";
const other = "other";
export const helpers = "V8's helpers: compiling, collecting";
export const pool = "file system and DNS pool";

export const stages: readonly string[] = [
  ...rules.map(([stage]) => stage),
  ...[collecting, other, helpers, pool],
];

/** `stack`: the innermost frame first. Undefined: the thread had nothing to do. */
export function stageOf(stack: readonly Frame[]): string | undefined {
  const [innermost] = stack;
  if (innermost?.functionName === "(idle)") return undefined;
  if (innermost?.functionName === "(garbage collector)") return collecting;
  for (const { functionName, url } of stack) {
    const rule = rules.find(
      ([, file, name]) => file.test(url) && (name?.test(functionName) ?? true),
    );
    if (rule !== undefined) return rule[0];
  }
  return other;
}
