/** The checks that the level `restricted` adds to the baseline. */
import type { Container } from "../../../../proto/gen/core.ts";
import { isSafeProfile } from "./baseline.ts";
import {
  type Check,
  containersNamed,
  joinQuoted,
  joinSorted,
  plural,
  runsOnWindows,
  type Subject,
  settersOf,
  type Violation,
} from "./subject.ts";

const volumeTypes: ReadonlySet<string> = new Set([
  ...["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"],
  ...["projected", "secret"],
]);

/** From this minor version on, pods of Windows are spared what only Linux knows. */
const windowsSince = 25;

function spared(subject: Subject, minor: number): boolean {
  return minor >= windowsSince && runsOnWindows(subject);
}

function allowPrivilegeEscalation(subject: Subject, minor: number): Violation | undefined {
  if (spared(subject, minor)) return undefined;
  const bad = subject.containers.filter(
    ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false,
  );
  if (bad.length === 0) return undefined;
  const detail = `${containersNamed(bad)} must set securityContext.allowPrivilegeEscalation=false`;
  return { reason: "allowPrivilegeEscalation != false", detail };
}

function capabilities(subject: Subject, minor: number): Violation | undefined {
  if (spared(subject, minor)) return undefined;
  const added = ({ securityContext }: Container) =>
    (securityContext?.capabilities?.add ?? []).filter((each) => each !== "NET_BIND_SERVICE");
  const keeping = subject.containers.filter(
    ({ securityContext }) => !(securityContext?.capabilities?.drop ?? []).includes("ALL"),
  );
  const adding = subject.containers.filter((container) => added(container).length > 0);
  const details: string[] = [];
  if (keeping.length > 0) {
    details.push(`${containersNamed(keeping)} must set securityContext.capabilities.drop=["ALL"]`);
  }
  if (adding.length > 0) {
    const names = joinSorted(adding.flatMap(added));
    details.push(
      `${containersNamed(adding)} must not include ${names} in securityContext.capabilities.add`,
    );
  }
  if (details.length === 0) return undefined;
  return { reason: "unrestricted capabilities", detail: details.join("; ") };
}

function restrictedVolumes({ spec }: Subject): Violation | undefined {
  const bad = (spec.volumes ?? []).flatMap(({ name = "", ...sources }) => {
    const type = Object.keys(sources).find((each) => Reflect.get(sources, each) !== undefined);
    // Without a source it is an emptyDir.
    return type === undefined || volumeTypes.has(type) ? [] : [{ name, type }];
  });
  if (bad.length === 0) return undefined;
  const types = new Set(bad.map(({ type }) => type));
  const names = joinQuoted(bad.map(({ name }) => name));
  const detail =
    `${plural("volume", bad.length)} ${names} ${bad.length === 1 ? "uses" : "use"} ` +
    `restricted ${plural("volume type", types.size)} ${joinSorted(types)}`;
  return { reason: "restricted volume types", detail };
}

/**
 * The pod or containers that set the wrong value; or else the containers for which neither they nor
 * the pod set the right one.
 */
function explicitly(
  { spec, containers }: Subject,
  judge: (setting: NonNullable<Container["securityContext"]>) => boolean | undefined,
): { readonly wrong?: string; readonly missing?: string } {
  const ofPod = judge(spec.securityContext ?? {});
  const verdicts = containers.map(
    (container) => [container, judge(container.securityContext ?? {})] as const,
  );
  const wrong = verdicts.filter(([, verdict]) => verdict === false).map(([each]) => each);
  const setters = ofPod === false ? ["pod"] : [];
  if (wrong.length > 0) setters.push(containersNamed(wrong));
  if (setters.length > 0) return { wrong: setters.join(" and ") };
  if (ofPod === true) return {};
  const missing = verdicts.filter(([, verdict]) => verdict === undefined).map(([each]) => each);
  return missing.length === 0 ? {} : { missing: `pod or ${containersNamed(missing)}` };
}

function runAsNonRoot(subject: Subject): Violation | undefined {
  const { wrong, missing } = explicitly(subject, (setting) => setting.runAsNonRoot);
  const reason = "runAsNonRoot != true";
  if (wrong) return { reason, detail: `${wrong} must not set securityContext.runAsNonRoot=false` };
  if (missing) return { reason, detail: `${missing} must set securityContext.runAsNonRoot=true` };
  return undefined;
}

function runAsUser(subject: Subject): Violation | undefined {
  const setters = settersOf(subject, ({ runAsUser: user }) => user !== undefined && +user === 0);
  if (setters === undefined) return undefined;
  return { reason: "runAsUser=0", detail: `${setters} must not set runAsUser=0` };
}

function seccompProfile(subject: Subject, minor: number): Violation | undefined {
  if (spared(subject, minor)) return undefined;
  const types = new Set<string>();
  const { wrong, missing } = explicitly(subject, ({ seccompProfile: profile }) => {
    if (profile === undefined) return undefined;
    const safe = isSafeProfile(profile.type);
    if (!safe) types.add(profile.type ?? "");
    return safe;
  });
  const reason = "seccompProfile";
  const field = "securityContext.seccompProfile.type";
  if (wrong) return { reason, detail: `${wrong} must not set ${field} to ${joinSorted(types)}` };
  if (missing) {
    return { reason, detail: `${missing} must set ${field} to "RuntimeDefault" or "Localhost"` };
  }
  return undefined;
}

const level = "restricted";

export const restrictedChecks: readonly Check[] = [
  { level, id: "allowPrivilegeEscalation", since: 8, run: allowPrivilegeEscalation },
  {
    ...{ level, id: "capabilities_restricted", since: 22, run: capabilities },
    includes: ["capabilities_baseline"],
  },
  { level, id: "restrictedVolumes", includes: ["hostPathVolumes"], run: restrictedVolumes },
  { level, id: "runAsNonRoot", run: runAsNonRoot },
  { level, id: "runAsUser", since: 23, run: runAsUser },
  {
    ...{ level, id: "seccompProfile_restricted", since: 19, run: seccompProfile },
    includes: ["seccompProfile_baseline"],
  },
];
