/** `logs`, `exec`, `attach` and `port-forward`: into containers, as kubectl words it. */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { ExecOptions, ExecRequest, ExecResponse } from "../../../proto/gen/core.ts";
import type { Duplex, TriremeClient } from "../../client/mod.ts";
import { complain, errorText, print } from "../output.ts";

interface PodFlags {
  readonly namespace: string;
  readonly container?: string;
}

export interface LogFlags extends PodFlags {
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly timestamps?: boolean;
  readonly tail?: number;
  readonly limitBytes?: number;
  /** Seconds. */
  readonly since?: number;
  readonly sinceTime?: string;
}

export async function logs(client: TriremeClient, pod: string, flags: LogFlags): Promise<void> {
  const { tail, limitBytes, since, sinceTime } = flags;
  const request = {
    name: podName(pod),
    namespace: flags.namespace,
    ...(flags.container && { container: flags.container }),
    ...(flags.follow && { follow: true }),
    ...(flags.previous && { previous: true }),
    ...(flags.timestamps && { timestamps: true }),
    ...(tail !== undefined && { tailLines: tail }),
    ...(limitBytes !== undefined && { limitBytes }),
    ...(since !== undefined && { sinceSeconds: since }),
    ...(sinceTime !== undefined && { sinceTime }),
  };
  for await (const bytes of client.logs(request)) await write(process.stdout, bytes);
}

function podName(pod: string): string {
  return pod.replace(/^pods?\//, "");
}

/** Waits until the other side of a pipe takes more. */
async function write(stream: NodeJS.WriteStream, bytes: Uint8Array): Promise<void> {
  if (!stream.write(bytes)) await once(stream, "drain");
}

export interface SessionFlags extends PodFlags {
  readonly stdin?: boolean;
  readonly tty?: boolean;
}

export async function exec(
  client: TriremeClient,
  pod: string,
  command: readonly string[],
  flags: SessionFlags,
): Promise<void> {
  await runSession(await client.exec(), pod, [...command], flags);
}

export async function attach(
  client: TriremeClient,
  pod: string,
  flags: SessionFlags,
): Promise<void> {
  await runSession(await client.attach(), pod, [], flags);
}

/** The program's exit code becomes the command's. */
async function runSession(
  session: Duplex<ExecRequest, ExecResponse>,
  pod: string,
  command: string[],
  flags: SessionFlags,
): Promise<void> {
  const { stdin: input, stdout } = process;
  const stdin = flags.stdin ?? false;
  const tty = flags.tty ?? false;
  if (tty && stdin && !input.isTTY) {
    complain("Unable to use a TTY - input is not a terminal or the right kind of file");
  }
  const terminal = tty && input.isTTY;
  const options: ExecOptions = {
    name: podName(pod),
    namespace: flags.namespace,
    command,
    ...(flags.container && { container: flags.container }),
    ...{ stdin, stdout: true, stderr: !tty, tty: terminal || (tty && !stdin) },
  };
  const size = () => ({ width: stdout.columns, height: stdout.rows });
  const resized = () => session.send({ resize: size() });
  session.send({ options, ...(terminal && { resize: size() }) });
  if (terminal) {
    input.setRawMode(true);
    stdout.on("resize", resized);
  }
  try {
    if (stdin) void sendInput(session, input);
    let exitCode = 0;
    for await (const response of session.responses) {
      if (response.stdout) await write(stdout, response.stdout);
      if (response.stderr) await write(process.stderr, response.stderr);
      exitCode = response.exitCode ?? exitCode;
    }
    if (exitCode !== 0) complain(`command terminated with exit code ${exitCode}`);
    process.exitCode = exitCode;
  } finally {
    stdout.off("resize", resized);
    if (terminal) input.setRawMode(false);
    // The program has ended, whatever is still typed.
    input.destroy();
  }
}

async function sendInput(
  session: Duplex<ExecRequest, ExecResponse>,
  input: NodeJS.ReadStream,
): Promise<void> {
  try {
    for await (const piece of input) {
      if (!session.send({ stdin: piece as Buffer })) await session.ready();
    }
  } catch {
    return; // it was let go of because the session has ended
  }
  session.send({ stdinEnded: true });
}

export interface ForwardFlags {
  readonly namespace: string;
  readonly address: string;
}

/** Listens until the process is stopped. */
export async function portForward(
  client: TriremeClient,
  pod: string,
  ports: readonly string[],
  flags: ForwardFlags,
): Promise<void> {
  const servers: Server[] = [];
  for (const { local, remote } of ports.map(portsOf)) {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      print(`Handling connection for ${local === 0 ? portOf(server) : local}`);
      void forward(client, socket, {
        name: podName(pod),
        namespace: flags.namespace,
        port: remote,
      });
    });
    server.listen(local, flags.address);
    await once(server, "listening");
    print(`Forwarding from ${flags.address}:${portOf(server)} -> ${remote}`);
    servers.push(server);
  }
  await Promise.all(servers.map((server) => once(server, "close")));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** `8080:80`, `80`, or `:80` for any free local port. */
function portsOf(text: string): { readonly local: number; readonly remote: number } {
  const [, first, second] = /^(\d{0,5}):(\d{1,5})$/.exec(text) ?? [];
  const remote = Number(second ?? text);
  const local = second === undefined ? remote : Number(first);
  if (/^[\d:]+$/.test(text) && remote >= 1 && remote <= 65_535 && local <= 65_535) {
    return { local, remote };
  }
  const wanted = "LOCAL:REMOTE, PORT or :REMOTE is wanted, with ports of 1 to 65535";
  throw new StatusError(Code.invalidArgument, `port ${JSON.stringify(text)}: ${wanted}`);
}

async function forward(
  client: TriremeClient,
  socket: Socket,
  options: { readonly name: string; readonly namespace: string; readonly port: number },
): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const stream = await client.portForward();
    socket.once("close", () => stream.cancel());
    stream.send({ options });
    const sent = (async () => {
      for await (const data of socket.iterator({ destroyOnReturn: false })) {
        if (!stream.send({ data: data as Buffer })) await stream.ready();
      }
      stream.send({ ended: true });
    })().catch(() => stream.cancel());
    for await (const { data, ended } of stream.responses) {
      if (data && !socket.write(data)) {
        await Promise.race([once(socket, "drain"), once(socket, "close")]);
      }
      if (ended) socket.end();
    }
    await sent;
  } catch (thrown) {
    if (!socket.destroyed) complain(errorText(thrown));
  } finally {
    socket.destroy();
  }
}
