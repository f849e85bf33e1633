/** `trireme status`: every master's own word, and what runs. */
import { call, connect as connectRpc } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { ClusterClient, type MemberStatus } from "../../../proto/gen/cluster.ts";
import { adminTls, connect } from "../connect.ts";
import { type Endpoints, isOurs, readEndpoints } from "../endpoints.ts";
import { complain, print, table } from "../output.ts";

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
        return { ...master, status: member, state: member.role ?? "", error: undefined };
      } catch (error) {
        return { ...master, status: undefined, ...silenceOf(StatusError.from(error)) };
      } finally {
        client.close();
      }
    }),
  );
  const answering = masters.filter((master) => master.status !== undefined).length;
  const leader = leaderOf(masters.map((master) => master.status));
  const objects =
    answering > 0
      ? await countObjects(flags.dataDir)
      : { pods: {}, nodes: { ready: 0, total: 0 }, error: "no master answers" };
  if (flags.json) print(JSON.stringify({ ...endpoints, masters, leader, ...objects }, null, 2));
  else show(endpoints, masters, leader, objects);
  if (answering === 0) {
    complain(
      `no master of the cluster in ${flags.dataDir} answers; \`trireme up\` starts it if it is stopped`,
    );
  }
  leaveNow(answering === 0 || objects.error !== undefined ? 1 : 0);
}

/** A connection to a process that is stopped would keep this one until it is given up. */
function leaveNow(code: number): void {
  process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
}

/** What people are told of a master that has not answered. */
function silenceOf({ code, message }: StatusError): { state: string; error: string } {
  if (code === Code.deadlineExceeded) {
    return { state: "not answering", error: `no answer within ${answerMillisMax / 1000} s` };
  }
  if (message.includes("ECONNREFUSED")) return { state: "down", error: "nothing listens there" };
  return { state: "down", error: message.replace(/\.? *Resolution note: *$/, "") };
}

type MasterRow = Endpoints["masters"][number] & {
  readonly state: string;
  readonly status: MemberStatus | undefined;
  readonly error: string | undefined;
};

function show(
  endpoints: Endpoints,
  masters: readonly MasterRow[],
  leader: string | undefined,
  objects: Awaited<ReturnType<typeof countObjects>>,
): void {
  print(
    table([
      ["MASTER", "PID", "ROLE", "TERM", "REVISION", "APPLIED", "KEYS", "GRPC"],
      ...masters.map(({ name, pid, grpc, state, status: member, error }) =>
        member
          ? [
              name,
              String(pid ?? "–"),
              state,
              String(member.term ?? 0),
              String(member.revision ?? 0),
              String(member.appliedIndex ?? 0),
              String(member.keys ?? 0),
              grpc,
            ]
          : [name, String(pid ?? "–"), state, "–", "–", "–", "–", `${grpc} (${error})`],
      ),
    ]),
  );
  print("");
  const others = [
    ...[...endpoints.balancers, ...endpoints.schedulers, ...endpoints.controllerManagers].map(
      (p) => [p.name, p.pid],
    ),
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
