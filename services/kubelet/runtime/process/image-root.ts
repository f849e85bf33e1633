/**
 * Root file systems of images that came from a layout. Containers of one image share its tree, each
 * with a layer of its own over it, in a mount namespace that goes with the container.
 */
import { lstat, readFile, readlink, rename, rm } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { ImageConfig, LayoutImage } from "../layouts/mod.ts";
import { unpackImage } from "../layouts/unpack.ts";
import {
  type ContainerConfig,
  ContainerConfigError,
  type ContainerSecurity,
  type Mount,
} from "../types.ts";
import type { Capabilities } from "./capabilities.ts";
import { identityArguments } from "./identity.ts";
import { systemPath, toolPath } from "./program.ts";

export interface UnpackedImage {
  /** Of the image's configuration. */
  readonly digest: string;
  /** The tree, which is only read. */
  readonly root: string;
  readonly bytes: number;
  readonly configuration: ImageConfig;
}

/** Throws StatusError, and ContainerConfigError where this machine cannot use such a tree. */
export async function unpackLayout(
  image: LayoutImage,
  directory: string,
  able: Capabilities,
): Promise<UnpackedImage> {
  if (!able.mounts) {
    throw new ContainerConfigError(
      "images of --image-root need root and private mounts on this machine",
    );
  }
  // Options of an overlay are cut at these signs.
  if (/[,:\\]/.test(directory)) {
    throw new ContainerConfigError(
      `images cannot be unpacked below "${directory}": , : or \\ in it`,
    );
  }
  const root = join(directory, image.config.digest.replace(":", "-"));
  const unfinished = `${root}.unfinished`;
  for (const path of [root, unfinished]) await rm(path, { recursive: true, force: true });
  const bytes = await unpackImage(image, unfinished, able.root);
  await rename(unfinished, root);
  return { digest: image.config.digest, root, bytes, configuration: image.configuration };
}

/** The container with what it takes from its image. Throws ContainerConfigError. */
export async function completedByImage(
  config: ContainerConfig,
  { root, configuration }: UnpackedImage,
): Promise<ContainerConfig> {
  const { Entrypoint, Cmd, Env = [], WorkingDir, User = "" } = configuration.config ?? {};
  const ownCommand = config.command.length > 0;
  const entry = ownCommand ? config.command : (Entrypoint ?? []);
  // A command of the pod's own drops the image's arguments, too.
  const args = config.args.length > 0 || ownCommand ? config.args : (Cmd ?? []);
  if (entry.length + args.length === 0) {
    throw new ContainerConfigError(`image "${config.image}": no command specified`);
  }
  const user = config.security?.runAsUser === undefined ? await userOf(root, User) : undefined;
  const security = { ...config.security, ...user };
  refuseLostRoot(security.dropCapabilities, security.addCapabilities);
  const workingDir = config.workingDir ?? (WorkingDir || "/");
  if (!isAbsolute(workingDir)) {
    throw new ContainerConfigError(`workingDir "${workingDir}" must be absolute`);
  }
  const pairs = Env.map((text) => [text.split("=", 1).join(""), text.replace(/^[^=]*=?/, "")]);
  const env = { ...Object.fromEntries(pairs), ...config.env };
  return { ...config, command: [...entry], args: [...args], env, workingDir, security };
}

/** The root is changed behind the rights: without this right it cannot be. */
function refuseLostRoot(drop: readonly string[] = [], add: readonly string[] = []): void {
  const lost = drop.find((name) => name === "ALL" || name === "SYS_CHROOT");
  if (lost === undefined || add.includes("SYS_CHROOT")) return;
  throw new ContainerConfigError(
    `capabilities.drop: ${lost}: the process runtime enters an image's root with SYS_CHROOT`,
  );
}

/** `user`, `user:group`, numbers or names of the image's own tables. */
async function userOf(
  root: string,
  text: string,
): Promise<{ readonly runAsUser?: number; readonly runAsGroup?: number }> {
  if (text === "") return {};
  const [user = "", group] = text.split(":");
  const line = await lineOf(join(root, "etc/passwd"), user);
  const runAsUser = /^\d+$/.test(user) ? Number(user) : Number(line?.[2] ?? Number.NaN);
  const groupLine = group === undefined ? undefined : await lineOf(join(root, "etc/group"), group);
  const own = line?.[3] === undefined ? 0 : Number(line[3]);
  const named = group === undefined ? own : Number(groupLine?.[2] ?? Number.NaN);
  const runAsGroup = group !== undefined && /^\d+$/.test(group) ? Number(group) : named;
  if (Number.isInteger(runAsUser) && Number.isInteger(runAsGroup)) return { runAsUser, runAsGroup };
  throw new ContainerConfigError(`the image's user "${text}" is not in its own tables`);
}

/** The line of a colon-separated table whose name, or number, is this. */
async function lineOf(file: string, key: string): Promise<readonly string[] | undefined> {
  const table = await readFile(file, "utf8").catch(() => ""); // the image has none
  const lines = table.split("\n").map((line) => line.split(":"));
  return lines.find(([name]) => name === key) ?? lines.find((fields) => fields[2] === key);
}

const linksMax = 40;

/** The path as the tree's own programs see it: links are followed within the tree. */
async function insideTree(root: string, path: string): Promise<string> {
  const waiting = partsOf(path);
  let at: string[] = [];
  for (let links = 0; waiting.length > 0; ) {
    const part = waiting.shift() ?? "";
    if (part === "..") {
      at = at.slice(0, -1);
      continue;
    }
    const next = join(root, ...at, part);
    const there = await lstat(next).catch(() => undefined); // not there: it will be made
    if (!there?.isSymbolicLink()) {
      at.push(part);
      continue;
    }
    links += 1;
    if (links > linksMax) throw new Error(`links without end at ${path} of the image`);
    const target = await readlink(next);
    if (isAbsolute(target)) at = [];
    waiting.unshift(...partsOf(target));
  }
  return `/${at.join("/")}`;
}

/** A directory or file of an image's tree. Throws ContainerConfigError where there is none. */
export async function partOfTree(root: string, subPath: string): Promise<string> {
  const path = join(root, await insideTree(root, subPath));
  if ((await lstat(path).catch(() => undefined)) !== undefined) return path;
  throw new ContainerConfigError(`subPath "${subPath}" is not in the image`);
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** Where a container has its own view of its image, in its private mount namespace. */
export interface RootPlan {
  /** The image's tree. */
  readonly lower: string;
  /** The container's directory, for what it writes. */
  readonly directory: string;
  /** The root itself. */
  readonly root: string;
  /** Made in the root where the image does not have it. */
  readonly workingDir: string;
}

export async function rootPlan(
  lower: string,
  directory: string,
  { workingDir = "/" }: ContainerConfig,
): Promise<RootPlan> {
  const root = rootOf(directory);
  return { lower, directory, root, workingDir: join(root, await insideTree(lower, workingDir)) };
}

/** Where a container's root is in its mount namespace. */
export function rootOf(directory: string): string {
  return join(directory, "root");
}

/** The mounts at their places in the container's root, and those that every container has. */
export async function mountsInRoot(
  plan: RootPlan,
  mounts: readonly Mount[],
): Promise<readonly Mount[]> {
  const resolver = { hostPath: "/etc/resolv.conf", containerPath: "/etc/resolv.conf" };
  const has = mounts.some(({ containerPath }) => containerPath === resolver.containerPath);
  const all = [...(has ? [] : [{ ...resolver, readOnly: false }]), ...mounts];
  const placed: Mount[] = [];
  for (const mount of all) {
    const inside = await insideTree(plan.lower, mount.containerPath);
    placed.push({ ...mount, containerPath: join(plan.root, inside) });
  }
  return placed.toSorted((a, b) => (a.containerPath < b.containerPath ? -1 : 1));
}

/** Lines of the shim that make the root, in the container's mount namespace. */
export function rootLines(plan: RootPlan, quote: (text: string) => string): readonly string[] {
  const { lower, directory, root, workingDir } = plan;
  const [upper, work] = [join(directory, "upper"), join(directory, "work")];
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const machines = ["proc", "sys", "dev"].map((name) => {
    const at = quote(join(root, name));
    return `mkdir -p ${at} && mount --rbind /${name} ${at} || exit 126`;
  });
  return [
    `mkdir -p ${[root, upper, work].map(quote).join(" ")} || exit 126`,
    `chmod 755 ${quote(upper)} || exit 126`,
    `mount -t overlay overlay -o ${quote(options)} ${quote(root)} || exit 126`,
    ...machines,
    `mkdir -p ${quote(workingDir)} || exit 126`,
  ];
}

/** `setpriv` arguments that leave the right to change the root, behind which others are gone. */
export function identityInRoot(security: ContainerSecurity | undefined): readonly string[] {
  const own = identityArguments(security, true);
  if (security?.runAsUser === undefined || security.runAsUser === 0) return own;
  const right = "+sys_chroot";
  const sets = own.some((each) => each.startsWith("--inh-caps="))
    ? own.map((each) => (each.startsWith("--inh-caps=") ? `${each},${right}` : each))
    : [...own, `--inh-caps=${right}`];
  return [...sets, `--ambient-caps=${right}`];
}

/**
 * Runs a command in the root, which is the working directory before: the container's user need not
 * be able to reach it from the machine's root. The command gets the container's own search path.
 */
export function enterRoot({ workingDir = "/", env }: ContainerConfig): string[] {
  const path = `PATH=${env["PATH"] ?? systemPath}`;
  return ["env", path, toolPath("unshare"), "--root=.", `--wd=${workingDir}`, "--"];
}

/** Throws when neither the image nor a mount can have the program. */
export async function checkProgram(
  lower: string,
  name: string,
  { workingDir = "/", env, mounts }: ContainerConfig,
): Promise<void> {
  const folders = (env["PATH"] ?? systemPath).split(":");
  const places = name.includes("/")
    ? [isAbsolute(name) ? name : join(workingDir, name)]
    : folders.map((folder) => join("/", folder, name));
  for (const place of places) {
    const inside = await insideTree(lower, place);
    const mounted = mounts.some(({ containerPath: at }) => inside.startsWith(at));
    const there = await lstat(join(lower, inside)).catch(() => undefined); // not there
    if (mounted || there?.isFile()) return;
  }
  throw new Error(
    name.includes("/")
      ? `exec: "${name}": no such file or directory`
      : `exec: "${name}": executable file not found in $PATH`,
  );
}
