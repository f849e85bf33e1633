/** `trireme status`: every master's own word, and what runs. */
import { call, connect as connectRpc } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { ClusterClient, type MemberStatus } from "../../../proto/gen/cluster.ts";
import { type ConnectionFlags, connect, tlsOf } from "../connect.ts";
import { countPods, isReadyNode, podText } from "../counts.ts";
import { type Endpoints, isOurs, readEndpoints } from "../endpoints.ts";
import { complain, print, table } from "../output.ts";

export interface StatusFlags extends ConnectionFlags {
  readonly json?: boolean;
}

const answerMillisMax = 3_000;

export async function status(flags: StatusFlags): Promise<void> {
  const local = flags.server === undefined ? readEndpoints(flags.dataDir) : undefined;
  const tls = tlsOf(flags);
  const asked: readonly AskedMaster[] =
    local?.masters ?? (flags.server ?? "").split(",").map((grpc) => ({ grpc }));
  const masters = await Promise.all(asked.map((master) => ask(master, tls)));
  const answering = masters.filter((master) => master.status !== undefined).length;
  const leader = leaderOf(masters.map((master) => master.status));
  const objects =
    answering > 0
      ? await countObjects(flags)
      : { pods: {}, nodes: { ready: 0, total: 0 }, error: "no master answers" };
  if (flags.json) print(JSON.stringify({ ...local, masters, leader, ...objects }, null, 2));
  else {
    showMasters(masters);
    if (local) showProcesses(local);
    showObjects(leader, objects);
  }
  if (answering === 0) {
    complain(
      local
        ? `no master of the cluster in ${flags.dataDir} answers; \`trireme up\` starts it if it is stopped`
        : `none of ${flags.server} answers`,
    );
  }
  leaveNow(answering === 0 || objects.error !== undefined ? 1 : 0);
}

/** What is known of a master before it is asked: with --server, its address alone. */
interface AskedMaster {
  readonly grpc: string;
  readonly name?: string;
  readonly pid?: number | undefined;
}

async function ask(master: AskedMaster, tls: ReturnType<typeof tlsOf>): Promise<MasterRow> {
  const client = connectRpc(ClusterClient, {
    addresses: [master.grpc],
    ...(tls && { tls }),
  });
  const name = master.name ?? "–";
  try {
    const member = await call(client, "status", {}, { deadlineMillis: answerMillisMax });
    const known = { ...master, name: master.name ?? member.name ?? name };
    return { ...known, status: member, state: member.role ?? "", error: undefined };
  } catch (error) {
    return { ...master, name, status: undefined, ...silenceOf(StatusError.from(error)) };
  } finally {
    client.close();
  }
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

type MasterRow = AskedMaster & {
  readonly name: string;
  readonly state: string;
  readonly status: MemberStatus | undefined;
  readonly error: string | undefined;
};

function showMasters(masters: readonly MasterRow[]): void {
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
}

/** Of a local cluster: the processes besides the masters. */
function showProcesses({ balancers, schedulers, controllerManagers, nodes }: Endpoints): void {
  const others: [string, number | undefined][] = [
    ...[...balancers, ...schedulers, ...controllerManagers].map(
      ({ name, pid }): [string, number | undefined] => [name, pid],
    ),
    ...nodes.flatMap(({ name, pid, kubeProxyPid }): [string, number | undefined][] => [
      [name, pid],
      [`kube-proxy-${name}`, kubeProxyPid],
    ]),
  ];
  print(
    table([
      ["PROCESS", "PID", "STATE"],
      ...others.map(([name, pid]) => [name, String(pid ?? "–"), isOurs(pid) ? "running" : "down"]),
    ]),
  );
  print("");
}

function showObjects(
  leader: string | undefined,
  { pods, nodes, error }: Awaited<ReturnType<typeof countObjects>>,
): void {
  if (error !== undefined) {
    print(`the API does not answer: ${error}`);
    return;
  }
  const counts = podText(new Map(Object.entries(pods)));
  print(`leader ${leader ?? "none"} · nodes ${nodes.ready}/${nodes.total} ready · pods ${counts}`);
}

function leaderOf(masters: readonly (MemberStatus | undefined)[]): string | undefined {
  let best: MemberStatus | undefined;
  for (const member of masters) {
    if (member?.leaderName && (member.term ?? 0) >= (best?.term ?? 0)) best = member;
  }
  return best?.leaderName;
}

async function countObjects(flags: ConnectionFlags) {
  const client = connect(flags);
  let pods: Record<string, number> = {};
  let nodes = { ready: 0, total: 0 };
  try {
    const options = { timeoutMillis: answerMillisMax };
    pods = Object.fromEntries(countPods((await client.pods.list(options)).items));
    const { items } = await client.nodes.list(options);
    nodes = { ready: items.filter(isReadyNode).length, total: items.length };
    return { pods, nodes, error: undefined };
  } catch (error) {
    return { pods, nodes, error: StatusError.from(error).message };
  } finally {
    client.close();
  }
}
