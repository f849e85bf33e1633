/**
 * What each Auth call changes, with etcd's checks in etcd's order. Source: etcd
 * `server/auth/store.go`.
 */
import { randomBytes } from "node:crypto";
import {
  type AuthData,
  type AuthUser,
  deleteRole,
  deleteUser,
  hasRoot,
  putRole,
  putUser,
  rootRole,
  rootUser,
} from "./auth-records.ts";
import type { AuthChange } from "./auth-state.ts";
import { textOf } from "./bytes.ts";
import * as errors from "./errors.ts";
import { etcdLimits } from "./limits.ts";
import { isPermissionRange, type Permission } from "./permissions.ts";

const tokenKeyBytes = 32;

export function enable(data: AuthData): AuthChange | undefined {
  if (data.enabled) return undefined;
  const root = data.users.get(rootUser);
  if (root === undefined) throw errors.rootUserMissing();
  if (!hasRoot(root)) throw errors.rootRoleMissing();
  // A new key: tokens from before the last time it was turned off are not good any more.
  return { operations: [], enabled: true, tokenKey: randomBytes(tokenKeyBytes), counts: false };
}

export function disable(data: AuthData): AuthChange | undefined {
  return data.enabled ? { operations: [], enabled: false } : undefined;
}

export function addUser(data: AuthData, name: string, password: string | undefined): AuthChange {
  if (name === "") throw errors.userEmpty();
  checkBytes("name", name, etcdLimits.nameBytes);
  if (data.users.has(name)) throw errors.userExists();
  checkCount("users", data.users.size, etcdLimits.users);
  const user = withPassword(password, [], data);
  return { operations: [putUser(name, user)] };
}

export function deleteUserNamed(data: AuthData, name: string): AuthChange {
  if (data.enabled && name === rootUser) throw errors.invalidManagement();
  userNamed(data, name);
  return { operations: [deleteUser(name)] };
}

/** A user who was added without a password stays without. */
export function changePassword(
  data: AuthData,
  name: string,
  password: string | undefined,
): AuthChange {
  const user = userNamed(data, name);
  const changed = withPassword(user.noPassword ? undefined : password, user.roles, data);
  return { operations: [putUser(name, changed)] };
}

export function grantRole(data: AuthData, name: string, role: string): AuthChange | undefined {
  const user = userNamed(data, name);
  if (role !== rootRole) roleNamed(data, role);
  if (user.roles.includes(role)) return undefined;
  const roles = [...user.roles, role].sort();
  return { operations: [putUser(name, { ...user, roles })] };
}

export function revokeRole(data: AuthData, name: string, role: string): AuthChange {
  if (data.enabled && name === rootUser && role === rootRole) throw errors.invalidManagement();
  const user = userNamed(data, name);
  if (!user.roles.includes(role)) throw errors.roleNotGranted();
  return { operations: [putUser(name, withoutRole(user, role))] };
}

export function addRole(data: AuthData, name: string): AuthChange {
  if (name === "") throw errors.roleEmpty();
  checkBytes("name", name, etcdLimits.nameBytes);
  if (data.roles.has(name)) throw errors.roleExists();
  checkCount("roles", data.roles.size, etcdLimits.roles);
  return { operations: [putRole(name, { permissions: [] })] };
}

/**
 * Every user who has the role loses it. The operations of one txn are limited: roles that more
 * users have are to be revoked from them first.
 */
export function deleteRoleNamed(data: AuthData, name: string): AuthChange {
  if (data.enabled && name === rootRole) throw errors.invalidManagement();
  roleNamed(data, name);
  const operations = [deleteRole(name)];
  for (const [userName, user] of data.users) {
    if (user.roles.includes(name)) operations.push(putUser(userName, withoutRole(user, name)));
  }
  return { operations };
}

export function grantPermission(
  data: AuthData,
  name: string,
  permission: Permission | undefined,
): AuthChange {
  if (permission === undefined) throw errors.permissionNotGiven();
  const role = roleNamed(data, name);
  if (!isPermissionRange(permission.key, permission.rangeEnd)) throw errors.invalidManagement();
  const others = role.permissions.filter((present) => !isSameRange(present, permission));
  checkCount("permissions of the role", others.length, etcdLimits.permissions);
  const permissions = [...others, permission].sort((a, b) => Buffer.compare(a.key, b.key));
  return { operations: [putRole(name, { permissions })] };
}

export function revokePermission(
  data: AuthData,
  name: string,
  range: Pick<Permission, "key" | "rangeEnd">,
): AuthChange {
  const role = roleNamed(data, name);
  const permissions = role.permissions.filter((present) => !isSameRange(present, range));
  if (permissions.length === role.permissions.length) throw errors.permissionNotGranted();
  return { operations: [putRole(name, { permissions })] };
}

export function userNamed(data: AuthData, name: string): AuthUser {
  const user = data.users.get(name);
  if (user === undefined) throw errors.userNotFound();
  return user;
}

export function roleNamed(data: AuthData, name: string) {
  const role = data.roles.get(name);
  if (role === undefined) throw errors.roleNotFound();
  return role;
}

/** The record is written with the next auth revision. */
function withPassword(
  password: string | undefined,
  roles: readonly string[],
  data: AuthData,
): AuthUser {
  const since = data.revision + 1;
  return password === undefined
    ? { noPassword: true, roles, since }
    : { password, noPassword: false, roles, since };
}

function withoutRole(user: AuthUser, role: string): AuthUser {
  return { ...user, roles: user.roles.filter((other) => other !== role) };
}

function isSameRange(
  a: Pick<Permission, "key" | "rangeEnd">,
  b: Pick<Permission, "key" | "rangeEnd">,
): boolean {
  return textOf(a.key) === textOf(b.key) && textOf(a.rangeEnd) === textOf(b.rangeEnd);
}

function checkBytes(field: string, text: string, limit: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > limit) throw errors.tooLarge(field, bytes, limit, "bytes");
}

function checkCount(field: string, present: number, limit: number): void {
  if (present >= limit) throw errors.tooLarge(field, present + 1, limit, "entries");
}
