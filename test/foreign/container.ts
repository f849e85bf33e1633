/**
 * A service of a compose file as a process: on a network of its own, in a file system of its own,
 * read-only but for its volumes, as its user and without what that user may not have. What a
 * container engine does with namespaces is done here with util-linux.
 */
import { lstatSync, mkdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { type ComposeService, commandOf, root } from "../docker/compose.ts";
import { within } from "./namespaces.ts";

/** The image's system: Debian's. `/etc` says who the users are. */
const system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"] as const;
/** Where the image has the repository. */
const workdir = "/trireme";
/** The image has Node.js among its programs; here it comes with the repository. */
const path = `${workdir}/node_modules/node/bin:/usr/local/bin:/usr/bin:/bin`;

export interface ContainerPlace {
  /** Network namespace. */
  readonly machine: string;
  /** An empty folder, under which the file system is put together. */
  readonly root: string;
  /** Where the volumes are, by name. */
  readonly volumes: string;
}

/** Arguments of `nsenter` that run a service, or instead of its own command another in its place. */
export function containerArguments(
  service: ComposeService,
  place: ContainerPlace,
  command: readonly string[] = commandOf(service),
): string[] {
  mkdirSync(place.root, { recursive: true });
  const script = ["set -eu", ...mounts(service, place), `exec ${start(service, place.root)} "$@"`];
  const shell = ["sh", "-c", script.join("\n"), "container", ...command];
  return within(place.machine, ["unshare", "--mount", "--propagation", "private", ...shell]);
}

function mounts(service: ComposeService, place: ContainerPlace): string[] {
  const inside = (target: string) => quoted(join(place.root, target));
  const bind = (source: string, target: string, readOnly: boolean) => [
    `mkdir -p ${inside(target)}`,
    `mount --bind ${quoted(source)} ${inside(target)}`,
    ...(readOnly ? [`mount -o remount,bind,ro ${inside(target)}`] : []),
  ];
  return [
    `mount -t tmpfs -o mode=755 tmpfs ${quoted(place.root)}`,
    ...system.flatMap((target) => {
      const found = lstatSync(target, { throwIfNoEntry: false });
      if (found === undefined) return [];
      if (!found.isSymbolicLink()) return bind(target, target, true);
      return [`ln -s ${quoted(readlinkSync(target))} ${inside(target)}`];
    }),
    ...["/proc", "/dev"].flatMap((target) => [
      `mkdir ${inside(target)}`,
      `mount --rbind ${target} ${inside(target)}`,
    ]),
    ...bind(root, workdir, true),
    ...(service.volumes ?? []).flatMap((volume) => {
      const [name = "", target = "", mode] = volume.split(":");
      const folder = quoted(join(place.volumes, name));
      // A new volume has the owner of the image's folder.
      const make = [`mkdir -p ${folder}`, `chown ${service.user ?? "0:0"} ${folder}`];
      return [...make, ...bind(join(place.volumes, name), target, mode === "ro")];
    }),
    ...(service.tmpfs ?? []).flatMap((target) => [
      `mkdir -p ${inside(target)}`,
      `mount -t tmpfs -o mode=1777 tmpfs ${inside(target)}`,
    ]),
    ...(service.read_only ? [`mount -o remount,ro ${quoted(place.root)}`] : []),
  ];
}

function start(service: ComposeService, folder: string): string {
  const [user = "0", group = "0"] = (service.user ?? "0:0").split(":");
  const rights = [
    ...[`--reuid=${user}`, `--regid=${group}`, "--clear-groups"],
    ...(service.security_opt?.includes("no-new-privileges:true") ? ["--no-new-privs"] : []),
    ...(service.cap_drop?.includes("ALL") ? ["--bounding-set=-all", "--inh-caps=-all"] : []),
  ];
  const environment = { ...service.environment, NODE_ENV: "production", PATH: path };
  const settings = Object.entries(environment).map(([key, value]) => quoted(`${key}=${value}`));
  return [
    ...["chroot", quoted(folder), "setpriv", ...rights],
    ...["env", `--chdir=${workdir}`, "-i", ...settings],
  ].join(" ");
}

/** A word for the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
