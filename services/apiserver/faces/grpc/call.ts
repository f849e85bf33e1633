/** Calls of the gRPC faces: who sends them, and what their headers say. */
import { randomUUID } from "node:crypto";
import { NotYet } from "../../../../ha/rpc/mod.ts";
import type { CallContext } from "../../../../ha/rpc/types.ts";
import type { Auditor } from "../../audit/auditor.ts";
import { auditIdOf, sourceIpsOf } from "../../audit/auditor.ts";
import { auditUnidentified, failure } from "../../audit/outcome.ts";
import {
  type Authenticator,
  authenticate,
  type Credentials,
  NotSeenYet,
} from "../../auth/authenticate.ts";
import { type Authorizer, authorize } from "../../auth/authorize.ts";
import type { RequestInfo, User } from "../../request-info.ts";
import type { Backend } from "../../verbs/backend.ts";
import {
  type Call,
  type CallAuditSource,
  type CallSource,
  callFrom,
  type Said,
  saidIn,
} from "../../verbs/call.ts";

/** Authenticates, and reads the headers that steer writes. Throws Unauthenticated, BadRequest. */
export function callOf(context: CallContext, face: Called): Call {
  const { audit } = face.backend;
  const note = noteOf(context);
  if (audit === undefined) {
    const user = userOf(context, note, face);
    note.said ??= saidIn(context);
    return callFrom(new ContextSource(context), user, note.said);
  }
  const auditSource = auditSourceOf(context, audit);
  let user: User;
  try {
    user = userOf(context, note, face);
  } catch (thrown) {
    if (thrown instanceof NotYet) throw thrown;
    auditUnidentified(audit, { ...auditSource, requestUri: context.path }, thrown, "post");
    throw thrown;
  }
  const source = new ContextSource(context, () => call.audit?.responseStarted(200));
  note.said ??= saidIn(context);
  const call = callFrom(source, user, note.said);
  call.auditSource = auditSource;
  return call;
}

/** What is kept with the headers of a call, for the next that comes with the same ones. */
interface HeaderNote {
  /** Whom the connection's certificate names, where no header had a say. */
  user: User | undefined;
  said: Said | undefined;
}

function noteOf(context: CallContext): HeaderNote {
  const known = context.note as HeaderNote | undefined;
  if (known !== undefined) return known;
  const note: HeaderNote = { user: undefined, said: undefined };
  context.note = note;
  return note;
}

/** What a call is told of its server. */
interface Called {
  readonly authenticators: readonly Authenticator[];
  readonly backend: Pick<Backend, "audit" | "cache" | "store">;
}

/** The calls that have waited for the cache. */
const waited = new WeakSet<CallContext>();

/**
 * The account of a token may have been made through another master a moment ago: then the call waits,
 * once, until this master's cache has what the store has. Throws Unauthenticated, NotYet.
 */
function userOf(context: CallContext, note: HeaderNote, { authenticators, backend }: Called): User {
  if (note.user !== undefined) return note.user;
  const credentials = new ContextCredentials(context);
  try {
    const user = authenticate(authenticators, credentials);
    if (!credentials.inHeaders) note.user = user;
    return user;
  } catch (thrown) {
    if (!(thrown instanceof NotSeenYet) || waited.has(context)) throw thrown;
    const { cache, store } = backend;
    waited.add(context);
    throw new NotYet(thrown, async () => cache.waitFor(await store.readRevision()));
  }
}

/** Of a gRPC call that is about a path. Throws Forbidden. */
export function authorizePath(
  {
    authorizers,
    audit,
  }: { readonly authorizers: readonly Authorizer[]; readonly audit?: Auditor | undefined },
  context: CallContext,
  request: RequestInfo,
): void {
  if (audit === undefined) {
    authorize(authorizers, request);
    return;
  }
  const source = { ...auditSourceOf(context, audit), requestUri: request.path };
  const record = audit.begin(source, request, "");
  try {
    authorize(authorizers, request, record);
    record?.complete({ code: 200 });
  } catch (thrown) {
    record?.complete(failure(thrown));
    throw thrown;
  }
}

/** Answers the id of the call's record as well. */
function auditSourceOf(context: CallContext, audit: Auditor): CallAuditSource {
  const auditId = auditIdOf(context.header("audit-id"), randomUUID);
  context.setTrailer("audit-id", auditId);
  const { address } = context.peer;
  const peer = address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return {
    auditId,
    sourceIps: sourceIpsOf(context.metadata.get("x-forwarded-for").join(","), peer),
    userAgent: context.header("user-agent"),
    receivedAt: audit.now(),
  };
}

class ContextSource implements CallSource {
  readonly #context: CallContext;
  readonly #begun: (() => void) | undefined;

  /** `begun`: told before the answer's stream begins. */
  constructor(context: CallContext, begun?: () => void) {
    this.#context = context;
    this.#begun = begun;
  }

  header(name: string): string | undefined {
    return this.#context.header(name);
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  setTrailer(key: string, value: string): void {
    this.#context.setTrailer(key, value);
  }

  streamBegun(): void {
    this.#begun?.();
    this.#context.sendHeaders();
  }
}

export function credentialsOf(context: CallContext): Credentials {
  return new ContextCredentials(context);
}

/** Most calls have few of the headers that are looked for, and need no metadata to be made. */
class ContextCredentials implements Credentials {
  readonly #context: CallContext;
  /** Something that was asked for is there. */
  inHeaders = false;

  constructor(context: CallContext) {
    this.#context = context;
  }

  get certificate(): Credentials["certificate"] {
    return this.#context.peer.certificate;
  }

  header(name: string): readonly string[] {
    if (this.#context.header(name) === undefined) return none;
    this.inHeaders = true;
    return this.#context.metadata.get(name).map(String);
  }

  namesWith(prefix: string): readonly string[] {
    const found = this.#context.namesWith(prefix);
    if (found.length > 0) this.inHeaders = true;
    return found;
  }
}

const none: readonly string[] = [];
