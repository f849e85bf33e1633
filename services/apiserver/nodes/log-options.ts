/** What may be asked of a container's log, as upstream's PodLogOptions. */
import { Code, type FieldCause, StatusError } from "../../../ha/runtime/status-error.ts";
import type { LogsRequest } from "../../../proto/gen/core.ts";
import { forbidden, invalid, parseTime } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";

/** Throws Invalid with every fault, in the words of upstream's `ValidatePodLogOptions`. */
export function checkLogOptions(pod: string, request: LogsRequest): void {
  const { tailLines, limitBytes, sinceSeconds, sinceTime } = request;
  const causes: FieldCause[] = [];
  if (tailLines !== undefined && tailLines < 0) {
    causes.push(invalid("tailLines", tailLines, "must be greater than or equal to 0"));
  }
  if (limitBytes !== undefined && limitBytes < 1) {
    causes.push(invalid("limitBytes", limitBytes, "must be greater than 0"));
  }
  if (sinceSeconds !== undefined && sinceTime !== undefined) {
    const detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
    causes.push(forbidden("", detail));
  } else if (sinceSeconds !== undefined && sinceSeconds < 1) {
    causes.push(invalid("sinceSeconds", sinceSeconds, "must be greater than 0"));
  }
  if (sinceTime !== undefined && parseTime(sinceTime) === undefined) {
    causes.push(invalid("sinceTime", sinceTime, "must be a time as RFC 3339 writes it"));
  }
  if (causes.length === 0) return;
  const texts = causes.map(({ field, message }) => `${field}: ${message}`);
  const all = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  throw new StatusError(Code.invalidArgument, `PodLogOptions "${pod}" is invalid: ${all}`, {
    ...{ reason: "Invalid", group: "", kind: "PodLogOptions", name: pod, causes },
  });
}

/** From a query. Throws BadRequest for numbers that are none. */
export function logsRequestOf({
  query,
  name,
  namespace,
}: {
  readonly query: URLSearchParams;
  readonly name: string;
  readonly namespace: string;
}): LogsRequest {
  const text = (key: string) => query.get(key) || undefined;
  const stream = text("stream");
  if (stream !== undefined && stream !== "All") {
    throw badRequest(
      `stream: ${JSON.stringify(stream)}: stdout and stderr are kept in one log; only All is given`,
    );
  }
  return {
    name,
    namespace,
    container: text("container"),
    follow: truth(query, "follow"),
    previous: truth(query, "previous"),
    timestamps: truth(query, "timestamps"),
    tailLines: whole(query, "tailLines"),
    sinceSeconds: whole(query, "sinceSeconds"),
    sinceTime: text("sinceTime"),
    limitBytes: whole(query, "limitBytes"),
  };
}

function truth(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  return text !== "0" && text.toLowerCase() !== "false";
}

function whole(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (/^[+-]?\d{1,15}$/.test(text)) return Number(text);
  throw badRequest(`${name}: parsing ${JSON.stringify(text)}: it is no whole number`);
}
