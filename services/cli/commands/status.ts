/** `trireme status`: every master's own word, and what runs. */
import { call, connect as connectRpc } from "../../../ha/rpc/mod.ts";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import { ClusterClient, type MemberStatus } from "../../../proto/gen/cluster.ts";
import { adminTls, connect } from "../connect.ts";
import { isOurs, readEndpoints } from "../endpoints.ts";
import { print, table } from "../output.ts";

export interface StatusFlags {
  readonly dataDir: string;
  readonly json?: boolean;
}

const answerMillisMax = 3_000;

export async function status(flags: StatusFlags): Promise<void> {
  const endpoints = readEndpoints(flags.dataDir);
  const tls = adminTls(endpoints);
  const masters = await Promise.all(
    endpoints.masters.map(async (master) => {
      const client = connectRpc(ClusterClient, { addresses: [master.grpc], tls });
      try {
        const member = await call(client, "status", {}, { deadlineMillis: answerMillisMax });
        return { ...master, status: member, error: undefined };
      } catch (error) {
        return { ...master, status: undefined, error: StatusError.from(error).message };
      } finally {
        client.close();
      }
    }),
  );
  const leader = leaderOf(masters.map((master) => master.status));
  const objects = await countObjects(flags.dataDir);
  if (flags.json) {
    print(JSON.stringify({ ...endpoints, masters, leader, ...objects }, null, 2));
    return;
  }
  print(
    table([
      ["MASTER", "PID", "ROLE", "TERM", "REVISION", "APPLIED", "KEYS", "GRPC"],
      ...masters.map(({ name, pid, grpc, status: member, error }) =>
        member
          ? [
              name,
              String(pid ?? "–"),
              member.role ?? "",
              String(member.term ?? 0),
              String(member.revision ?? 0),
              String(member.appliedIndex ?? 0),
              String(member.keys ?? 0),
              grpc,
            ]
          : [name, String(pid ?? "–"), "down", "–", "–", "–", "–", `${grpc} (${error})`],
      ),
    ]),
  );
  print("");
  const others = [
    ["balancer", endpoints.balancer.pid],
    ...[...endpoints.schedulers, ...endpoints.controllerManagers].map((p) => [p.name, p.pid]),
    ...endpoints.nodes.flatMap((n) => [
      [n.name, n.pid],
      [`kube-proxy-${n.name}`, n.kubeProxyPid],
    ]),
  ] as [string, number | undefined][];
  print(
    table([
      ["PROCESS", "PID", "STATE"],
      ...others.map(([name, pid]) => [name, String(pid ?? "–"), isOurs(pid) ? "running" : "down"]),
    ]),
  );
  print("");
  if (objects.error !== undefined) print(`the API does not answer: ${objects.error}`);
  else {
    const pods = Object.entries(objects.pods).map(([phase, count]) => `${count} ${phase}`);
    const { ready, total } = objects.nodes;
    print(
      `leader ${leader ?? "none"} · nodes ${ready}/${total} ready · pods ${pods.join(", ") || "0"}`,
    );
  }
}

function leaderOf(masters: readonly (MemberStatus | undefined)[]): string | undefined {
  let best: MemberStatus | undefined;
  for (const member of masters) {
    if (member?.leaderName && (member.term ?? 0) >= (best?.term ?? 0)) best = member;
  }
  return best?.leaderName;
}

async function countObjects(dataDir: string) {
  const client = connect({ dataDir });
  const pods: Record<string, number> = {};
  let nodes = { ready: 0, total: 0 };
  try {
    const options = { timeoutMillis: answerMillisMax };
    for (const pod of (await client.pods.list(options)).items) {
      const phase = pod.metadata?.deletionTimestamp
        ? "Terminating"
        : (pod.status?.phase ?? "Pending");
      pods[phase] = (pods[phase] ?? 0) + 1;
    }
    const { items } = await client.nodes.list(options);
    const ready = items.filter((node) =>
      node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
    ).length;
    nodes = { ready, total: items.length };
    return { pods, nodes, error: undefined };
  } catch (error) {
    return { pods, nodes, error: StatusError.from(error).message };
  } finally {
    client.close();
  }
}
