/** `explain pod NAME`: what the scheduler's plugins say of every node. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import type { TriremeClient } from "../../client/mod.ts";
import { defaultPlugins, explainPod, type PodExplanation } from "../../scheduler/mod.ts";
import { print, table } from "../output.ts";

export interface ExplainFlags {
  readonly namespace: string;
  readonly output?: string;
}

const words = ["pod", "pods", "po"];

export async function explain(
  client: TriremeClient,
  word: string,
  name: string,
  flags: ExplainFlags,
): Promise<void> {
  if (!words.includes(word.toLowerCase())) {
    const text = `"${word}": only pods are scheduled; say explain pod NAME`;
    throw new StatusError(Code.invalidArgument, text);
  }
  if (flags.output !== undefined && flags.output !== "json") {
    throw new StatusError(Code.invalidArgument, `--output ${flags.output}: must be json`);
  }
  const pod = await client.pods.get(name, flags.namespace);
  const explanation = await explainPod(client, pod, defaultPlugins);
  if (flags.output === "json") print(JSON.stringify(explanation, null, 2));
  else print(textOf(pod, explanation));
}

function textOf(pod: Pod, explanation: PodExplanation): string {
  const { nodes, refusal, waiting } = explanation;
  const lines = [headOf(pod, explanation)];
  if (waiting !== undefined) lines.push(`It is not tried: ${waiting}.`);
  const told = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
  if (told?.status === "False" && told.message) lines.push(`It was told: ${told.message}`);
  if (refusal !== undefined) return [...lines, refusal].join("\n");
  const own = pod.spec?.nodeName ?? pod.status?.nominatedNodeName;
  const ranked = [...nodes].sort((a, b) => {
    const suitable = Number(b.refusals.length === 0) - Number(a.refusals.length === 0);
    return suitable || b.total - a.total || (a.node < b.node ? -1 : 1);
  });
  const rows = ranked.map(({ node, refusals, scores, total }) => {
    const mark = node === own ? "*" : "";
    if (refusals.length > 0) {
      const why = refusals.map(({ plugin, reasons }) => `${plugin}: ${reasons.join(", ")}`);
      return [`${node}${mark}`, "no", "-", why.join("; ")];
    }
    const points = scores.map((each) => `${each.plugin} ${Math.round(each.points)}×${each.weight}`);
    return [`${node}${mark}`, "fits", String(Math.round(total)), points.join(", ")];
  });
  return [...lines, "", table([["NODE", "VERDICT", "SCORE", "WHY"], ...rows])].join("\n");
}

function headOf({ metadata, spec, status }: Pod, { nodes }: PodExplanation): string {
  const suitable = nodes.filter(({ refusals }) => refusals.length === 0).length;
  const name = `${metadata?.namespace}/${metadata?.name}`;
  const nominated = status?.nominatedNodeName;
  const where = spec?.nodeName
    ? `is on ${spec.nodeName}`
    : `waits for a node${nominated ? `, room is made on ${nominated}` : ""}`;
  return `${name} ${where}; it would fit on ${suitable} of ${nodes.length} nodes now.`;
}
