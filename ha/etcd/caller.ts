/** The user who makes a call, and the user's rights. Texts and order of checks are etcd's. */
import type { CallContext } from "../rpc/mod.ts";
import type { Operation, TxnRequest } from "../store/mod.ts";
import { type AuthData, type AuthUser, hasRoot } from "./auth-records.ts";
import * as errors from "./errors.ts";
import type { NamedCaller, TokenProvider } from "./tokens.ts";

/** Undefined for a call without credentials, or while authentication is off. */
export type Caller = NamedCaller | undefined;

export interface CallerOptions {
  readonly tokens: TokenProvider;
  /** The name of a client certificate may stand for a token. */
  readonly certificates: boolean;
  readonly wallMillis: number;
}

/** Rejects with invalidToken. */
export async function callerOf(
  data: AuthData,
  context: CallContext,
  { tokens, certificates, wallMillis }: CallerOptions,
): Promise<Caller> {
  if (!data.enabled) return undefined;
  const { metadata } = context;
  const [token = metadata.get("authorization")[0]] = metadata.get("token");
  if (token === undefined) {
    const name = certificates ? context.peer.certificate?.commonName : undefined;
    return name === undefined || name === "" ? undefined : { name };
  }
  const caller = await tokens.read(data, token.toString(), wallMillis);
  if (caller === undefined) throw errors.invalidToken();
  checkToken(data.users.get(caller.name), caller);
  return caller;
}

/** A token ends with the password it was given for, and with the user. */
function checkToken(user: AuthUser | undefined, { since }: NamedCaller): void {
  if (since !== undefined && user?.since !== since) throw errors.invalidToken();
}

/** Throws unless the caller is a user with the role root. */
export function checkAdmin(data: AuthData, caller: Caller): void {
  if (!data.enabled) return;
  if (caller === undefined) throw errors.userEmpty();
  const user = data.users.get(caller.name);
  if (user === undefined) throw errors.userNotFound();
  checkToken(user, caller);
  if (!hasRoot(user)) throw errors.permissionDenied();
}

/** Throws userEmpty when authentication is on and the call names no user. */
export function checkUser(data: AuthData, caller: Caller): void {
  if (data.enabled && caller === undefined) throw errors.userEmpty();
}

/** One caller's rights under one state of auth data. */
export class Rights {
  private readonly data: AuthData;
  private readonly name: string;
  private readonly user: AuthUser;

  /** Throws when there is no such user. Authentication is on. */
  constructor(data: AuthData, caller: Caller) {
    if (caller === undefined || caller.authRevision === 0) throw errors.userEmpty();
    const { authRevision = data.revision } = caller;
    if (authRevision < data.revision) throw errors.oldAuthRevision();
    const user = data.users.get(caller.name);
    checkToken(user, caller);
    if (user === undefined) throw errors.permissionDenied();
    this.data = data;
    this.name = caller.name;
    this.user = user;
  }

  get isRoot(): boolean {
    return hasRoot(this.user);
  }

  checkRead(key: Uint8Array, rangeEnd?: Uint8Array): void {
    if (this.isRoot || this.data.permissions(this.user, this.name).mayRead(key, rangeEnd)) return;
    throw errors.permissionDenied();
  }

  checkWrite(key: Uint8Array, rangeEnd?: Uint8Array): void {
    if (this.isRoot || this.data.permissions(this.user, this.name).mayWrite(key, rangeEnd)) return;
    throw errors.permissionDenied();
  }

  /** Every compare needs to be read, whichever branch is taken, and both branches are checked. */
  checkTxn(txn: TxnRequest): void {
    for (const { key, rangeEnd } of txn.compares) this.checkRead(key, rangeEnd);
    for (const operation of txn.success) this.checkOperation(operation);
    for (const operation of txn.failure) this.checkOperation(operation);
  }

  private checkOperation(operation: Operation): void {
    switch (operation.op) {
      case "range":
        this.checkRead(operation.key, operation.rangeEnd);
        return;
      case "put":
        this.checkWrite(operation.key);
        if (operation.previous) this.checkRead(operation.key);
        return;
      case "delete":
        this.checkWrite(operation.key, operation.rangeEnd);
        if (operation.previous) this.checkRead(operation.key, operation.rangeEnd);
        return;
      case "txn":
        this.checkTxn(operation);
        return;
    }
  }
}

/** Leases that the txn attaches keys to. */
export function leasesOf(txn: TxnRequest): readonly bigint[] {
  const leases = new Set<bigint>();
  const visit = (operations: readonly Operation[]) => {
    for (const operation of operations) {
      if (operation.op === "put" && operation.lease) leases.add(operation.lease);
      if (operation.op !== "txn") continue;
      visit(operation.success);
      visit(operation.failure);
    }
  };
  visit(txn.success);
  visit(txn.failure);
  return [...leases];
}
