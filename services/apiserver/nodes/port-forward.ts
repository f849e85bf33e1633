import { duplexIterable } from "../../../ha/rpc/mod.ts";
import type {
  PortForwardOptions,
  PortForwardRequest,
  PortForwardResponse,
} from "../../../proto/gen/core.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import type { Call } from "../verbs/call.ts";
import { type FoundPod, kubeletOf, podFor } from "./kubelet-client.ts";
import { openedBy, piecesOf, RelayEnd, restOf } from "./relay.ts";
import type { NodeServing } from "./types.ts";

/** A pod to whose ports connections may be made. */
export interface Forwarding {
  /** Names the pod in messages, as upstream does. */
  readonly pod: string;
  /** Any number of times. Throws StatusError when the connection cannot be made, or breaks. */
  connect(
    port: number,
    input: AsyncIterator<PortForwardRequest>,
    more?: ConnectOptions,
  ): AsyncGenerator<PortForwardResponse, void>;
}

interface ConnectOptions {
  /** What came along with the options. */
  readonly first?: PortForwardRequest;
  /** Drops this one connection. */
  readonly signal?: AbortSignal;
}

/** Checks a request to forward ports; `verb` as for a session. Throws Forbidden, NotFound. */
export async function openForwarding(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  verb: string,
  request: { readonly name?: string | undefined; readonly namespace?: string | undefined },
): Promise<Forwarding> {
  const options = { kind: "PodPortForwardOptions", apiVersion: "v1" };
  const purpose = { verb, subresource: "portforward", options };
  const pod = await podFor(serving, call, pods, request, purpose);
  return forwardingOf(serving, call, pod);
}

/** Of a pod that the caller may reach. Throws BadRequest. */
export function forwardingOf(serving: NodeServing, call: Call, pod: FoundPod): Forwarding {
  const { name, namespace, uid } = pod;
  if (!pod.spec.nodeName) throw badRequest(`pod ${name} does not have a host assigned`);
  return {
    pod: `${name}, uid ${uid}`,
    connect(port, input, { first, signal } = {}) {
      checkPort(port);
      const opening = { ...first, options: { name, namespace, port } };
      const end = new RelayEnd(serving, [call.signal, signal]);
      return relay(call, end, kubeletOf(serving, pod), opening, input);
    },
  };
}

/** Throws BadRequest. */
function checkPort(port: number): void {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return;
  throw badRequest(`port ${port}: must be between 1 and 65535`);
}

/** The typed method: options in the first message, verb create. */
export async function* portForward(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  requests: AsyncIterable<PortForwardRequest>,
): AsyncGenerator<PortForwardResponse, void> {
  const { options, first, rest } = await openedBy<PortForwardOptions, PortForwardRequest>(requests);
  const forwarding = await openForwarding(serving, call, pods, "create", options);
  yield* forwarding.connect(options.port ?? 0, rest, { first });
}

async function* relay(
  call: Call,
  end: RelayEnd,
  client: ReturnType<typeof kubeletOf>,
  first: PortForwardRequest,
  input: AsyncIterator<PortForwardRequest>,
): AsyncGenerator<PortForwardResponse, void> {
  try {
    const settings = { signal: end.signal, onHeaders: () => call.streamBegun() };
    const requests = requestsOf(first, input, end);
    for await (const response of duplexIterable(client, "portForward", requests, settings)) {
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
  first: PortForwardRequest,
  input: AsyncIterator<PortForwardRequest>,
  end: RelayEnd,
): AsyncGenerator<PortForwardRequest, void> {
  yield* cut(first);
  yield* restOf(input, end, cut);
}

function* cut(message: PortForwardRequest): Generator<PortForwardRequest, void> {
  const { data, ended, ...others } = message;
  if (data === undefined) {
    yield message;
    return;
  }
  let before = others;
  for (const piece of piecesOf(data)) {
    yield { ...before, data: piece };
    before = {};
  }
  if (ended !== undefined) yield { ended };
}
