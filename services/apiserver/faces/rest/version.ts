import { readFileSync } from "node:fs";
import { join } from "node:path";

const home = join(import.meta.dirname, "..", "..", "..", "..");

/** What `/version` answers with: the Kubernetes release that the API follows, and this program's. */
export function versionDocument() {
  const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as {
    readonly version: string;
  };
  const { major, minor } = followed;
  return {
    ...{ major, minor, emulationMajor: major, emulationMinor: minor },
    ...{ minCompatibilityMajor: major, minCompatibilityMinor: String(Number(minor) - 1) },
    gitVersion: `v${major}.${minor}.${followed.patch}+trireme-${version}`,
    gitCommit: "",
    gitTreeState: "",
    buildDate: "",
    goVersion: `node ${process.version}`,
    compiler: "v8",
    platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
}

const followed = { major: "1", minor: "33", patch: "0" } as const;
