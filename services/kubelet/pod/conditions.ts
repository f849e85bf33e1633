/** The conditions of a pod, with upstream's reasons and texts. Pure. */
import type { ContainerStatus, PodCondition } from "../../../proto/gen/core.ts";
import { isSidecar, rfc3339Seconds } from "../../kinds/facts.ts";
import type { StatusFacts } from "./status.ts";

export function conditionsOf(
  facts: StatusFacts,
  phase: string,
  initStatuses: readonly ContainerStatus[],
  statuses: readonly ContainerStatus[],
  initDone: boolean,
): PodCondition[] {
  const completed = { status: "False", reason: "PodCompleted" };
  const incomplete = initStatuses
    .filter((status) => status.ready !== true)
    .map((status) => status.name);
  const initialized = initDone
    ? { status: "True", ...(phase === "Succeeded" && { reason: "PodCompleted" }) }
    : {
        status: "False",
        reason: "ContainersNotInitialized",
        message: `containers with incomplete status: [${incomplete.join(" ")}]`,
      };
  // Sidecars are ready as the containers are; other init containers have ended by then.
  const sidecars = (facts.pod.spec?.initContainers ?? []).flatMap((container, index) => {
    const status = initStatuses[index];
    return isSidecar(container) && status !== undefined ? [status] : [];
  });
  const unready = [...sidecars, ...statuses]
    .filter((status) => status.ready !== true)
    .map((status) => status.name);
  const containersReady =
    phase === "Succeeded"
      ? completed
      : phase === "Failed"
        ? { status: "False", reason: "PodFailed" }
        : unready.length === 0
          ? { status: "True" }
          : {
              status: "False",
              reason: "ContainersNotReady",
              message: `containers with unready status: [${unready.join(" ")}]`,
            };
  const own: PodCondition[] = [
    { type: "PodReadyToStartContainers", status: facts.sandboxReady ? "True" : "False" },
    { type: "Initialized", ...initialized },
    { type: "Ready", ...readyCondition(facts, containersReady) },
    { type: "ContainersReady", ...containersReady },
    { type: "PodScheduled", status: "True" },
    ...(facts.failure?.disrupts
      ? [
          {
            ...{ type: "DisruptionTarget", status: "True", reason: "TerminationByKubelet" },
            message: facts.failure.message,
          },
        ]
      : []),
  ];
  own.push(...resizeConditions(facts.resize));
  const before = facts.previous?.conditions ?? facts.pod.status?.conditions ?? [];
  const conditions = own.map((condition) => withTimes(condition, before, facts.now));
  // Conditions of others (readiness gates, DisruptionTarget) are theirs to write.
  const names = new Set([...own.map((condition) => condition.type), ...resizeTypes]);
  const foreign = (facts.pod.status?.conditions ?? []).filter(({ type }) => !names.has(type));
  return [...conditions, ...foreign];
}

/** They are there while a resize is, and go with it. */
const resizeTypes = ["PodResizePending", "PodResizeInProgress"] as const;

function resizeConditions(resize: StatusFacts["resize"]): PodCondition[] {
  const { pending, inProgress } = resize ?? {};
  const failed = inProgress === "" ? {} : { reason: "Error", message: inProgress };
  return [
    ...(pending === undefined ? [] : [{ type: resizeTypes[0], status: "True", ...pending }]),
    ...(inProgress === undefined ? [] : [{ type: resizeTypes[1], status: "True", ...failed }]),
  ];
}

function readyCondition(
  facts: StatusFacts,
  containersReady: Omit<PodCondition, "type">,
): Omit<PodCondition, "type"> {
  if (containersReady.status !== "True") return containersReady;
  const problems: string[] = [];
  for (const { conditionType } of facts.pod.spec?.readinessGates ?? []) {
    const gate = facts.pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (gate === undefined) {
      problems.push(
        `corresponding condition of pod readiness gate "${conditionType}" does not exist.`,
      );
    } else if (gate.status !== "True") {
      problems.push(
        `the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`,
      );
    }
  }
  if (problems.length === 0) return { status: "True" };
  return { status: "False", reason: "ReadinessGatesNotReady", message: problems.join(", ") };
}

function withTimes(
  condition: PodCondition,
  before: readonly PodCondition[],
  now: number,
): PodCondition {
  const old = before.find(({ type }) => type === condition.type);
  const since = old?.status === condition.status ? old?.lastTransitionTime : undefined;
  return { ...condition, lastTransitionTime: since ?? rfc3339Seconds(now) };
}
