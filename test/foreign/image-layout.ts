/** Image layouts of a few programs, for runtimes that have no registry. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { locate } from "./needs.ts";

export interface ImageSpec {
  /** Names in the layout's index. */
  readonly names: readonly string[];
  /** Undefined: the image has no command of its own. */
  readonly command?: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly env?: readonly string[];
}

/** Writes a layout with the images to `directory`, as a folder, or as `<directory>.tar`. */
export function writeLayout(directory: string, images: readonly ImageSpec[], tar = false): void {
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Buffer, mediaType: string) => {
    const hash = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hash), bytes);
    return {
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${hash}`,
      size: bytes.length,
    };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const files = rootFiles();
  const layer = put(files, "layer.v1.tar");
  const manifests = images.flatMap(({ names, command, user, workingDir, env = [] }) => {
    const config = put(
      json({
        architecture: process.arch === "x64" ? "amd64" : process.arch,
        os: "linux",
        config: {
          Env: ["PATH=/bin", ...env],
          ...(command && { Cmd: command }),
          ...(user !== undefined && { User: user }),
          ...(workingDir !== undefined && { WorkingDir: workingDir }),
          // Images of other names are other images.
          Labels: { names: names.join(" ") },
        },
        rootfs: { type: "layers", diff_ids: [layer.digest] },
      }),
      "config.v1+json",
    );
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const manifest = put(
      json({ schemaVersion: 2, mediaType, config, layers: [layer] }),
      "manifest.v1+json",
    );
    return names.map((name) => ({
      ...manifest,
      annotations: { "io.containerd.image.name": name },
    }));
  });
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(directory, "index.json"), json({ schemaVersion: 2, manifests }));
  if (!tar) return;
  execFileSync("tar", ["-C", directory, "-cf", `${directory}.tar`, "."]);
  rmSync(directory, { recursive: true });
}

/** A tar archive of busybox, its applets and what programs expect of a root. */
function rootFiles(): Buffer {
  const busybox = locate("busybox");
  if (busybox === undefined) throw new Error("there is no busybox");
  const root = mkdtempSync(join(tmpdir(), "trireme-image-"));
  try {
    for (const name of ["bin", "etc", "tmp", "proc", "sys", "dev", "home"]) {
      mkdirSync(join(root, name));
    }
    copyFileSync(busybox, join(root, "bin/busybox"));
    const applets = execFileSync(busybox, ["--list"], { encoding: "utf8" }).trim().split("\n");
    for (const name of applets) {
      if (name !== "busybox") symlinkSync("busybox", join(root, "bin", name));
    }
    writeFileSync(
      join(root, "etc/passwd"),
      "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n",
    );
    writeFileSync(join(root, "etc/group"), "root:x:0:\nuser:x:1000:\n");
    const archive = join(root, "..", `${createHash("sha256").update(root).digest("hex")}.tar`);
    const stable = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    execFileSync("tar", [...stable, "--mode=u+rwX,go+rX", "-C", root, "-cf", archive, "."]);
    const bytes = readFileSync(archive);
    rmSync(archive);
    return bytes;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
