import { duplexIterable } from "../../../ha/rpc/mod.ts";
import type { ExecOptions, ExecRequest, ExecResponse } from "../../../proto/gen/core.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import type { Call } from "../verbs/call.ts";
import { containerOf, kubeletOf, podFor } from "./kubelet-client.ts";
import { openedBy, piecesOf, RelayEnd, restOf } from "./relay.ts";
import type { NodeServing } from "./types.ts";

/** What the two kinds of session are called, also as subresources. */
export type SessionSort = "exec" | "attach";

/** A session that may begin: its pod, container and options have been checked. */
export interface Session {
  /**
   * Once. `input`: what the caller sends; `first`: what it sent along with the options. Ends with
   * the program, and throws StatusError when the kubelet could not begin it or it broke.
   */
  run(input: AsyncIterator<ExecRequest>, first?: ExecRequest): AsyncGenerator<ExecResponse, void>;
}

/**
 * Checks a request for a session. `verb`: create; or get, for a WebSocket, whose handshake is a
 * GET. Throws Forbidden, NotFound, BadRequest.
 */
export async function openSession(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  sort: SessionSort,
  verb: string,
  options: ExecOptions,
): Promise<Session> {
  const { name: _name, namespace: _namespace, ...told } = options;
  const kind = sort === "exec" ? "PodExecOptions" : "PodAttachOptions";
  const purpose = { verb, subresource: sort, options: { kind, apiVersion: "v1", ...told } };
  const pod = await podFor(serving, call, pods, options, purpose);
  const container = containerOf(pod, options.container);
  if (!pod.spec.nodeName) throw badRequest(`pod ${pod.name} does not have a host assigned`);
  checkOptions(sort, options);
  const { name, namespace } = pod;
  const asked = { ...options, name, namespace, container };
  return {
    run: (input, first) =>
      relay(serving, call, sort, kubeletOf(serving, pod), { ...first, options: asked }, input),
  };
}

/** What a request's query asks for, as upstream's PodExecOptions and PodAttachOptions. */
export function sessionOptions(
  sort: SessionSort,
  { name, namespace, query }: { name: string; namespace: string; query: URLSearchParams },
): ExecOptions {
  const flag = (key: string) => {
    const value = query.get(key);
    return value !== null && value !== "0" && value.toLowerCase() !== "false";
  };
  const tty = flag("tty");
  return {
    name,
    namespace,
    container: query.get("container") ?? "",
    command: sort === "exec" ? query.getAll("command") : [],
    stdin: flag("stdin"),
    stdout: flag("stdout"),
    // A terminal's output is one stream.
    stderr: flag("stderr") && !tty,
    tty,
  };
}

/** As upstream's kubelet words it. */
function checkOptions(sort: SessionSort, { command = [], ...options }: ExecOptions): void {
  if (!options.stdin && !options.stdout && !options.stderr) {
    throw badRequest("you must specify at least 1 of stdin, stdout, stderr");
  }
  if (sort === "exec" && command.length === 0) {
    throw badRequest("you must specify at least one command for the container");
  }
  if (sort === "attach" && command.length > 0) {
    throw badRequest("options.command: an attach runs no command");
  }
}

/** The typed method: options in the first message, verb create. */
export async function* session(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  sort: SessionSort,
  requests: AsyncIterable<ExecRequest>,
): AsyncGenerator<ExecResponse, void> {
  const { options, first, rest } = await openedBy(requests);
  const opened = await openSession(serving, call, pods, sort, "create", options);
  yield* opened.run(rest, first);
}

async function* relay(
  serving: NodeServing,
  call: Call,
  sort: SessionSort,
  client: ReturnType<typeof kubeletOf>,
  first: ExecRequest,
  input: AsyncIterator<ExecRequest>,
): AsyncGenerator<ExecResponse, void> {
  const end = new RelayEnd(serving, [call.signal]);
  try {
    const settings = { signal: end.signal, onHeaders: () => call.streamBegun() };
    const requests = requestsOf(first, input, end);
    for await (const response of duplexIterable(client, sort, requests, settings)) {
      end.moved();
      yield response;
    }
  } catch (thrown) {
    throw end.reason(thrown);
  } finally {
    end.close();
    client.close();
  }
}

async function* requestsOf(
  first: ExecRequest,
  input: AsyncIterator<ExecRequest>,
  end: RelayEnd,
): AsyncGenerator<ExecRequest, void> {
  yield* cut(first);
  yield* restOf(input, end, cut);
}

function* cut(message: ExecRequest): Generator<ExecRequest, void> {
  const { stdin, stdinEnded, ...others } = message;
  if (stdin === undefined) {
    yield message;
    return;
  }
  const last = stdinEnded === undefined ? [] : [{ stdinEnded }];
  let before = others;
  for (const piece of piecesOf(stdin)) {
    yield { ...before, stdin: piece };
    before = {};
  }
  yield* last;
}
