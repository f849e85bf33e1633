/** Pods.Logs from client to processes: every option, and every refusal in upstream's words. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { serverStreamIterable } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { LogsRequest } from "../../proto/gen/core.ts";
import { documentBody, update } from "../../services/apiserver/verbs/mod.ts";
import { adminCall, kind } from "../apiserver/harness.ts";
import { eventually } from "../patience.ts";
import { type StreamWorld, streamWorld } from "./stream-world.ts";

let streams: StreamWorld;
before(async () => {
  streams = await streamWorld();
});
after(() => streams[Symbol.asyncDispose]());

const at = { name: "web", namespace: "default" };

function open(request: LogsRequest, signal?: AbortSignal) {
  const { client, metadata } = streams.pods();
  return serverStreamIterable(client, "logs", { ...at, ...request }, { metadata, signal });
}

async function text(request: LogsRequest): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const { data } of open(request)) if (data) pieces.push(data);
  return Buffer.concat(pieces).toString();
}

async function refusal(request: LogsRequest): Promise<StatusError> {
  try {
    await text(request);
  } catch (thrown) {
    assert.ok(thrown instanceof StatusError);
    return thrown;
  }
  assert.fail("it should have been refused");
}

async function ended(id: string): Promise<void> {
  const state = () => streams.runtime.containers().find((one) => one.id === id)?.state;
  await eventually("the container to end", () => state() === "exited");
}

describe("what is given", () => {
  before(async () => {
    await ended(await streams.start("main", "echo first run; exit 1"));
    await ended(await streams.start("main", "echo a; echo b >&2; echo c"));
  });

  const table: [string, LogsRequest, string][] = [
    ["all of an ended container", {}, "a\nb\nc\n"],
    ["the run before", { previous: true }, "first run\n"],
    ["the last lines", { tailLines: 2 }, "b\nc\n"],
    ["no lines", { tailLines: 0 }, ""],
    ["so many bytes", { limitBytes: 3 }, "a\nb"],
    ["of the last seconds", { sinceSeconds: 3_600 }, "a\nb\nc\n"],
    ["since a time to come", { sinceTime: "2100-01-01T00:00:00Z" }, ""],
    ["since a time that was", { sinceTime: "2020-01-01T00:00:00+02:00" }, "a\nb\nc\n"],
    ["following what has ended", { follow: true }, "a\nb\nc\n"],
  ];
  for (const [name, request, expected] of table) {
    test(name, async () => assert.equal(await text({ container: "main", ...request }), expected));
  }

  test("with times", async () => {
    const stamp = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z";
    const lines = ["a", "b", "c"].map((line) => `${stamp} ${line}\\n`).join("");
    assert.match(await text({ container: "main", timestamps: true }), new RegExp(`^${lines}$`));
  });

  test("following until the caller leaves", async () => {
    await streams.start("main", "echo one; while :; do sleep 0.05; echo more; done");
    const abort = new AbortController();
    let seen = "";
    const reading = (async () => {
      const stream = open({ container: "main", follow: true }, abort.signal);
      for await (const { data } of stream) seen += data?.toString() ?? "";
    })();
    await eventually("lines that came later", () => /^one\nmore\nmore\n/.test(seen));
    abort.abort();
    await assert.rejects(reading, { code: Code.cancelled });
  });
});

describe("what is refused", () => {
  const table: [string, LogsRequest, string | RegExp][] = [
    [
      "a negative tail",
      { container: "main", tailLines: -1 },
      'PodLogOptions "web" is invalid: tailLines: Invalid value: -1: ' +
        "must be greater than or equal to 0",
    ],
    [
      "several faults at once",
      { container: "main", limitBytes: 0, sinceSeconds: 0 },
      'PodLogOptions "web" is invalid: [limitBytes: Invalid value: 0: must be greater than 0, ' +
        "sinceSeconds: Invalid value: 0: must be greater than 0]",
    ],
    [
      "two beginnings",
      { container: "main", sinceSeconds: 5, sinceTime: "2026-01-01T00:00:00Z" },
      /Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified$/,
    ],
    [
      "a time that is none",
      { container: "main", sinceTime: "noon" },
      /sinceTime: Invalid value: "noon"/,
    ],
    ["no container named", {}, /^a container name must be specified for pod web, choose one of/],
    ["another's container", { container: "x" }, "container x is not valid for pod web"],
    [
      "a container that has not started",
      { container: "setup" },
      'container "setup" in pod "web" is waiting to start: ContainerCreating',
    ],
    [
      "no run before",
      { container: "setup", previous: true },
      'previous terminated container "setup" in pod "web" not found',
    ],
    ["no node", { name: "floating" }, "pod floating does not have a host assigned"],
  ];
  for (const [name, request, message] of table) {
    test(name, async () => {
      const error = await refusal(request);
      assert.equal(error.code, Code.invalidArgument);
      if (typeof message === "string") assert.equal(error.message, message);
      else assert.match(error.message, message);
    });
  }

  test("why a container waits, as its status says", async () => {
    const { backend } = streams.world;
    const reasons = [
      ["ErrImagePull", "image can't be pulled"],
      ["ImagePullBackOff", "trying and failing to pull image"],
      ["CreateContainerConfigError", "CreateContainerConfigError"],
    ];
    for (const [reason, told] of reasons) {
      const status = { initContainerStatuses: [{ name: "setup", state: { waiting: { reason } } }] };
      const document = { apiVersion: "v1", kind: "Pod", metadata: { ...at }, status };
      const body = documentBody(document);
      await update(backend, adminCall(), kind("pod"), {
        body,
        subresource: "status",
        typed: false,
      });
      const error = await refusal({ container: "setup" });
      assert.equal(error.message, `container "setup" in pod "web" is waiting to start: ${told}`);
    }
  });
});
