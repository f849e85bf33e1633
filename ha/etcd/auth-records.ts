/**
 * Users, roles and what else there is to know about authentication, as records of the store:
 *
 *   \0trireme/auth/state          { enabled, revision, tokenKey }   written with every change
 *   \0trireme/auth/roles/<name>   { permissions: [{ kind, key, rangeEnd }] }   bytes in base64
 *   \0trireme/auth/users/<name>   { password, noPassword, roles, since }
 */
import type { KeyValue, Operation, Revision } from "../store/mod.ts";
import { bytesOf, textOf } from "./bytes.ts";
import * as errors from "./errors.ts";
import { type Permission, type PermissionKind, Permissions } from "./permissions.ts";
import { reserved } from "./reserved.ts";

export const rootUser = "root";
export const rootRole = "root";

export interface AuthUser {
  /** As passwords.ts makes it; absent for a user without one. */
  readonly password?: string | undefined;
  readonly noPassword: boolean;
  /** Sorted. */
  readonly roles: readonly string[];
  /** Auth revision of the present password. */
  readonly since: number;
}

export interface AuthRole {
  /** In the order of their keys. */
  readonly permissions: readonly Permission[];
}

interface StateRecord {
  readonly enabled: boolean;
  /** Counts changes, from 1. */
  readonly revision: number;
  readonly tokenKey: string;
}

const statePath = `${reserved.auth}state`;
const rolesPath = `${reserved.auth}roles/`;
const usersPath = `${reserved.auth}users/`;

export const stateKey = bytesOf(statePath);
export const authRange = { key: bytesOf(reserved.auth), rangeEnd: bytesOf("\0trireme/auth0") };

/** All auth data as of one revision. */
export class AuthData {
  readonly users = new Map<string, AuthUser>();
  readonly roles = new Map<string, AuthRole>();
  /** The revision of the store when the data was read. */
  readonly storeRevision: Revision;
  /** The store revision of the last change of auth data; 0: there is none. */
  readonly modRevision: Revision;
  readonly enabled: boolean;
  readonly revision: number;
  readonly tokenKey: Uint8Array;
  private readonly united = new Map<string, Permissions>();

  /** `kvs`: what {@link authRange} holds, in the order of keys. */
  constructor(kvs: readonly KeyValue[], storeRevision: Revision) {
    this.storeRevision = storeRevision;
    let state: StateRecord = { enabled: false, revision: 1, tokenKey: "" };
    let modRevision = 0 as Revision;
    for (const kv of kvs) {
      const path = textOf(kv.key);
      try {
        const record: unknown = JSON.parse(Buffer.from(kv.value).toString());
        if (path === statePath) {
          state = record as StateRecord;
          modRevision = kv.modRevision;
        } else if (path.startsWith(rolesPath)) {
          this.roles.set(nameOf(path, rolesPath), roleOf(record as RoleRecord));
        } else if (path.startsWith(usersPath)) {
          this.users.set(nameOf(path, usersPath), record as AuthUser);
        }
      } catch (thrown) {
        throw errors.corruptAuth(path, thrown);
      }
    }
    this.modRevision = modRevision;
    this.enabled = state.enabled;
    this.revision = state.revision;
    this.tokenKey = Buffer.from(state.tokenKey, "base64");
  }

  /** The union of the permissions of the user's roles. */
  permissions(user: AuthUser, name: string): Permissions {
    let united = this.united.get(name);
    if (united === undefined) {
      united = new Permissions(
        user.roles.flatMap((role) => this.roles.get(role)?.permissions ?? []),
      );
      this.united.set(name, united);
    }
    return united;
  }
}

export function hasRoot(user: AuthUser): boolean {
  return user.roles.includes(rootRole);
}

export function putState(state: {
  readonly enabled: boolean;
  readonly revision: number;
  readonly tokenKey: Uint8Array;
}): Operation {
  const record: StateRecord = {
    enabled: state.enabled,
    revision: state.revision,
    tokenKey: Buffer.from(state.tokenKey).toString("base64"),
  };
  return put(statePath, record);
}

export function putUser(name: string, user: AuthUser): Operation {
  return put(usersPath + latin1(name), user);
}

export function deleteUser(name: string): Operation {
  return { op: "delete", key: bytesOf(usersPath + latin1(name)) };
}

export function putRole(name: string, role: AuthRole): Operation {
  const permissions = role.permissions.map(({ kind, key, rangeEnd }) => ({
    kind,
    key: Buffer.from(key).toString("base64"),
    rangeEnd: Buffer.from(rangeEnd).toString("base64"),
  }));
  const record: RoleRecord = { permissions };
  return put(rolesPath + latin1(name), record);
}

export function deleteRole(name: string): Operation {
  return { op: "delete", key: bytesOf(rolesPath + latin1(name)) };
}

interface RoleRecord {
  readonly permissions: readonly {
    readonly kind: PermissionKind;
    readonly key: string;
    readonly rangeEnd: string;
  }[];
}

function roleOf(record: RoleRecord): AuthRole {
  return {
    permissions: record.permissions.map(({ kind, key, rangeEnd }) => ({
      kind,
      key: Buffer.from(key, "base64"),
      rangeEnd: Buffer.from(rangeEnd, "base64"),
    })),
  };
}

function put(path: string, record: object): Operation {
  return { op: "put", key: bytesOf(path), value: Buffer.from(JSON.stringify(record)) };
}

/** Names are Unicode; keys are texts of one character a byte. */
function latin1(name: string): string {
  return textOf(Buffer.from(name));
}

function nameOf(path: string, prefix: string): string {
  return bytesOf(path.slice(prefix.length)).toString();
}
