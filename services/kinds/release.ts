/** The Kubernetes release that the API follows, and the version every part of this program says. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const followedRelease = { major: "1", minor: "33", patch: "0" } as const;

const home = join(import.meta.dirname, "..", "..");

/** E.g. `v1.33.0+trireme-0.1.0`. */
export function gitVersion(): string {
  const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as {
    readonly version: string;
  };
  const { major, minor, patch } = followedRelease;
  return `v${major}.${minor}.${patch}+trireme-${version}`;
}
