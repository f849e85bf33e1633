/** A program beside a container's, to its end. */
import { call } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { ExecResult } from "../types.ts";
import type { CriConnection } from "./connection.ts";

const outputBytesMax = 10 * 1024;
/** As a shell says it of a program that cannot be run. */
const notRunCode = 126;

/**
 * The deadline is the kubelet's own: a runtime whose program has left a child with its output open
 * waits for that child, whatever timeout it was told.
 */
export async function runExec(
  { runtime }: CriConnection,
  containerId: string,
  command: readonly string[],
  timeoutMillis: number,
): Promise<ExecResult> {
  const seconds = Math.max(1, Math.ceil(timeoutMillis / 1000));
  const request = { containerId, cmd: [...command], timeout: BigInt(seconds) };
  try {
    const told = await call(runtime, "execSync", request, { deadlineMillis: timeoutMillis });
    const { exitCode = 0, stdout = Buffer.alloc(0), stderr = Buffer.alloc(0) } = told;
    const output = Buffer.concat([stdout, stderr]).subarray(0, outputBytesMax).toString("utf8");
    return { exitCode, output, timedOut: false };
  } catch (error) {
    const { code, message } = StatusError.from(error);
    if (code === Code.deadlineExceeded) return { exitCode: -1, output: "", timedOut: true };
    // The runtime is gone, or the container: neither says anything about the program.
    if (code !== Code.unknown) throw error;
    return { exitCode: notRunCode, output: message.slice(0, outputBytesMax), timedOut: false };
  }
}
