/**
 * Clients generated from the tree of `trireme protos` in other languages: the tree passes `buf lint`,
 * the clients build beside the standard packages of their language, and the calls of
 * clients/calls.json do on a real cluster what they say.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { status as codes } from "@grpc/grpc-js";
import { writeTree } from "../../services/cli/commands/protos.ts";
import { TestCluster, until } from "../e2e/cluster.ts";
import { type Built, buildGoClient, buildPythonClient } from "./clients/build.ts";
import { encoded, expectLike, substituted, type Variables, valueAt } from "./clients/expect.ts";
import { Program, type ProgramAnswer } from "./clients/program.ts";
import { needsBuilt, needsPython } from "./needs.ts";

/** One row of calls.json. */
interface Call {
  readonly name: string;
  readonly method: string;
  readonly request?: unknown;
  readonly requests?: readonly unknown[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMillis?: number;
  readonly take?: number;
  /** Made again until it answers as expected: something else has to happen first. */
  readonly repeat?: boolean;
  /** Name of a gRPC code; default OK. */
  readonly code?: keyof typeof codes;
  readonly message?: string;
  /** The trireme.meta.v1.Status in the details. */
  readonly detail?: unknown;
  /** The only response, or all of them. */
  readonly response?: unknown;
  readonly responses?: readonly unknown[];
  /** Variables for later calls, by their path in the response. */
  readonly save?: Readonly<Record<string, string>>;
}

const calls = JSON.parse(
  readFileSync(new URL("clients/calls.json", import.meta.url), "utf8"),
) as readonly Call[];
const folder = mkdtempSync(join(tmpdir(), "trireme-clients-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const languages: readonly {
  readonly name: string;
  readonly needs: { readonly skip: string | false };
  readonly build: (folder: string) => Promise<Built>;
}[] = [
  {
    name: "go",
    needs: needsBuilt("protoc-gen-go-grpc", "google.golang.org/grpc/cmd/protoc-gen-go-grpc"),
    build: buildGoClient,
  },
  {
    name: "python",
    needs: needsPython("grpc-python", "grpcio-tools grpcio-status"),
    build: buildPythonClient,
  },
];

describe(
  "the tree for other languages",
  needsBuilt("buf", "github.com/bufbuild/buf/cmd/buf"),
  () => {
    const lint = (tree: string) => promisify(execFile)("buf", ["lint"], { cwd: tree });

    test("passes `buf lint` with the exceptions that its buf.yaml names, and needs each", async () => {
      const tree = join(folder, "tree");
      await writeTree({ out: tree });
      await lint(tree);
      const file = join(tree, "buf.yaml");
      const text = readFileSync(file, "utf8");
      const [, list = ""] = /^ {2}except:\n((?: {4}.*\n)+)/m.exec(text) ?? [];
      const excepted = [...list.matchAll(/^ {4}- ([A-Z_]+)$/gm)].map((match) => match[1] ?? "");
      assert.ok(excepted.length > 0);
      for (const name of excepted) {
        writeFileSync(file, text.replace(`    - ${name}\n`, ""));
        await assert.rejects(lint(tree), name);
      }
    });
  },
);

const reasons = languages.map(({ needs }) => needs.skip);
/** With one of the languages there is something to test. */
const skip = reasons.includes(false) ? false : reasons.join("; ");

describe("generated clients", { skip }, () => {
  const cluster = new TestCluster();
  before(() => cluster.up(["--masters", "1", "--nodes", "1"]));
  after(() => cluster.close());

  for (const { name, needs, build } of languages) {
    describe(name, needs, () => {
      let program: Program;
      const variables: Variables = new Map([["namespace", `clients-${name}`]]);

      before(async () => {
        const { command, args } = await build(join(folder, name));
        const { grpc, ca, clientCert, clientKey } = cluster.endpoints;
        program = new Program(command, [...args, grpc, ca, clientCert, clientKey]);
      });
      after(() => program?.[Symbol.dispose]());

      for (const call of calls) {
        test(call.name, async () => {
          const attempt = async () => {
            expectAnswer(await made(program, call, variables), call, variables);
            return true;
          };
          await (call.repeat ? until(call.name, attempt) : attempt());
        });
      }
    });
  }
});

async function made(program: Program, call: Call, variables: Variables): Promise<ProgramAnswer> {
  const { method, request, requests = [request], metadata = {} } = call;
  const { deadlineMillis = 20_000, take = 0 } = call;
  const answer = await program.call({
    method,
    requests: encoded(substituted(requests, variables)) as unknown[],
    metadata: substituted(metadata, variables),
    deadlineMillis,
    take,
  });
  for (const [name, path] of Object.entries(call.save ?? {})) {
    variables.set(name, valueAt(answer.responses[0], path));
  }
  return answer;
}

function expectAnswer(answer: ProgramAnswer, call: Call, variables: Variables): void {
  const { code = "OK", message, detail, response, responses } = substituted(call, variables);
  assert.equal(codes[answer.code], code, JSON.stringify(answer));
  if (message !== undefined) expectLike(answer.message, message, "message");
  if (detail !== undefined) {
    assert.deepEqual(
      answer.details.map(({ type }) => type),
      ["trireme.meta.v1.Status"],
    );
    expectLike(answer.details[0]?.value, detail, "details[0]");
  }
  const expected = responses ?? (response === undefined ? undefined : [response]);
  if (expected !== undefined) expectLike(answer.responses, expected, "responses");
}
