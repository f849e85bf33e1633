import { followedRelease, gitVersion } from "../../../kinds/mod.ts";

/** What `/version` answers with: the Kubernetes release that the API follows, and this program's. */
export function versionDocument() {
  const { major, minor } = followedRelease;
  return {
    ...{ major, minor, emulationMajor: major, emulationMinor: minor },
    ...{ minCompatibilityMajor: major, minCompatibilityMinor: String(Number(minor) - 1) },
    gitVersion: gitVersion(),
    gitCommit: "",
    gitTreeState: "",
    buildDate: "",
    goVersion: `node ${process.version}`,
    compiler: "v8",
    platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
}
