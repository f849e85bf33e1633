/** etcdserverpb.Auth */
import type { AuthServer } from "../../proto/gen/etcd.ts";
import { Permission_Type, type Permission as WirePermission } from "../../proto/gen/etcd_auth.ts";
import { type CallContext, unary } from "../rpc/mod.ts";
import { storeErrors } from "../store/mod.ts";
import type { StoreAccess } from "./access.ts";
import * as changes from "./auth-changes.ts";
import { type AuthData, rootRole } from "./auth-records.ts";
import type { AuthChange } from "./auth-state.ts";
import { bufferOf, orNone } from "./bytes.ts";
import { type Caller, checkAdmin } from "./caller.ts";
import * as errors from "./errors.ts";
import { etcdLimits } from "./limits.ts";
import { hashPassword, isPassword, nobodysPassword } from "./passwords.ts";
import { type Permission, PermissionKind } from "./permissions.ts";

export function authService(access: StoreAccess): AuthServer {
  /** An administrator's call that changes something. */
  const change = async (
    context: CallContext,
    decide: (data: AuthData) => AuthChange | undefined,
  ) => {
    const caller = await access.begin(context);
    const revision = await access.auth.change((data) => {
      checkAdmin(data, caller);
      return decide(data);
    });
    return { header: access.header.of(revision) };
  };
  /** A call that only reads: it sees the newest auth data. */
  const look = async (context: CallContext) => {
    const caller = await access.begin(context);
    const data = await access.auth.newest();
    return { caller, data, header: await access.header.now() };
  };
  /** Checks the right to change first: hashing a password is expensive. */
  const hashFor = async (context: CallContext, request: PasswordRequest) => {
    await access.requireAdmin(await access.begin(context));
    return hashOf(request);
  };
  return {
    authEnable: unary((_, context) => change(context, changes.enable)),
    authDisable: unary((_, context) => change(context, changes.disable)),

    authStatus: unary(async (_, context) => {
      const { caller, data, header } = await look(context);
      checkAdmin(data, caller);
      return { header, enabled: data.enabled, authRevision: BigInt(data.revision) };
    }),

    authenticate: unary(async ({ name = "", password = "" }) => {
      // The token that the caller may show is no matter here: it wants a new one.
      await access.header.load();
      const token = await authenticate(access, name, password);
      return { header: await access.header.now(), token };
    }),

    userAdd: unary(async (request, context) => {
      const { name = "", options } = request;
      if (name === "") throw errors.userEmpty();
      const hash = options?.noPassword ? undefined : await hashFor(context, request);
      return change(context, (data) => changes.addUser(data, name, hash));
    }),

    userGet: unary(async ({ name = "" }, context) => {
      const { caller, data, header } = await look(context);
      if (caller?.name !== name) checkAdmin(data, caller);
      return { header, roles: [...changes.userNamed(data, name).roles] };
    }),

    userList: unary(async (_, context) => {
      const { caller, data, header } = await look(context);
      checkAdmin(data, caller);
      return { header, users: [...data.users.keys()] };
    }),

    userDelete: unary(({ name = "" }, context) =>
      change(context, (data) => changes.deleteUserNamed(data, name)),
    ),

    userChangePassword: unary(async (request, context) => {
      const { name = "" } = request;
      const hash = await hashFor(context, request);
      return change(context, (data) => changes.changePassword(data, name, hash));
    }),

    userGrantRole: unary(({ user = "", role = "" }, context) =>
      change(context, (data) => changes.grantRole(data, user, role)),
    ),

    userRevokeRole: unary(({ name = "", role = "" }, context) =>
      change(context, (data) => changes.revokeRole(data, name, role)),
    ),

    roleAdd: unary(({ name = "" }, context) =>
      change(context, (data) => changes.addRole(data, name)),
    ),

    roleGet: unary(async ({ role = "" }, context) => {
      const { caller, data, header } = await look(context);
      if (!hasRole(data, caller, role)) checkAdmin(data, caller);
      const { permissions } = changes.roleNamed(data, role);
      return { header, perm: role === rootRole ? [everything] : permissions.map(wirePermission) };
    }),

    roleList: unary(async (_, context) => {
      const { caller, data, header } = await look(context);
      checkAdmin(data, caller);
      return { header, roles: [...data.roles.keys()] };
    }),

    roleDelete: unary(({ role = "" }, context) =>
      change(context, (data) => changes.deleteRoleNamed(data, role)),
    ),

    roleGrantPermission: unary(({ name = "", perm }, context) =>
      change(context, (data) => changes.grantPermission(data, name, permissionOf(perm))),
    ),

    roleRevokePermission: unary(({ role = "", key, rangeEnd }, context) => {
      const range = { key: orNone(key), rangeEnd: orNone(rangeEnd) };
      return change(context, (data) => changes.revokePermission(data, role, range));
    }),
  };
}

/** Throws authNotEnabled, authFailed. */
async function authenticate(access: StoreAccess, name: string, password: string): Promise<string> {
  const before = await access.auth.newest();
  if (!before.enabled) throw errors.authNotEnabled();
  checkPassword(password);
  const user = before.users.get(name);
  const isRight = await isPassword(password, user?.password ?? nobodysPassword);
  if (user?.password === undefined || !isRight) throw errors.authFailed();
  // Meanwhile the user may have got another password.
  const data = await access.auth.newest();
  if (data.users.get(name)?.since !== user.since) throw errors.authFailed();
  const { tokens, wallMillis } = access.options;
  return tokens.issue(data, name, wallMillis());
}

interface PasswordRequest {
  readonly password?: string | undefined;
  readonly hashedPassword?: string | undefined;
}

async function hashOf({ password = "", hashedPassword = "" }: PasswordRequest): Promise<string> {
  if (hashedPassword !== "") {
    throw storeErrors.invalid("hashedPassword", "given", "left out: passwords are hashed here");
  }
  checkPassword(password);
  return hashPassword(password);
}

function checkPassword(password: string): void {
  const bytes = Buffer.byteLength(password);
  const limit = etcdLimits.passwordBytes;
  if (bytes > limit) throw errors.tooLarge("password", bytes, limit, "bytes");
}

function hasRole(data: AuthData, caller: Caller, role: string): boolean {
  return caller !== undefined && data.users.get(caller.name)?.roles.includes(role) === true;
}

const everything: WirePermission = {
  permType: Permission_Type.READWRITE,
  key: orNone(undefined),
  rangeEnd: Buffer.of(0),
};

function wirePermission({ kind, key, rangeEnd }: Permission): WirePermission {
  const types = {
    read: Permission_Type.READ,
    write: Permission_Type.WRITE,
    readWrite: Permission_Type.READWRITE,
  } as const;
  return { permType: types[kind], key: bufferOf(key), rangeEnd: bufferOf(rangeEnd) };
}

function permissionOf(wire: WirePermission | undefined): Permission | undefined {
  if (wire === undefined) return undefined;
  const kinds = [PermissionKind.read, PermissionKind.write, PermissionKind.readWrite] as const;
  const kind = kinds[wire.permType ?? 0];
  if (kind === undefined) throw storeErrors.invalid("perm.permType", wire.permType, "a Type");
  return { kind, key: orNone(wire.key), rangeEnd: orNone(wire.rangeEnd) };
}
