/** How a session ended, as its error channel tells it. */
import { toStatusDocument } from "../../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../../ha/runtime/status-error.ts";
import type { Status } from "../../../../../proto/gen/meta.ts";

/** Undefined: the program was attached to, and its exit code is told in the pod's status. */
export function endedStatus(exitCode: number | undefined): Status {
  if (exitCode === undefined || exitCode === 0) return { metadata: {}, status: "Success" };
  const message = `command terminated with non-zero exit code: exit status ${exitCode}`;
  return {
    metadata: {},
    status: "Failure",
    message,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  };
}

/** `begun`: false when the kubelet refused the session. */
export function brokenStatus(thrown: unknown, begun: boolean): Status {
  const error = StatusError.from(thrown);
  if (error.code === Code.invalidArgument) {
    const { kind: _, apiVersion: __, ...document } = toStatusDocument(error);
    return document;
  }
  const refused = !begun && error.code === Code.notFound;
  const message = refused ? `unable to upgrade connection: ${error.message}` : error.message;
  return {
    metadata: {},
    status: "Failure",
    message: `Internal error occurred: ${message}`,
    reason: "InternalError",
    details: { causes: [{ message }] },
    code: 500,
  };
}
