import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

/** A range of ports, both ends included. */
export interface PortRange {
  /** `30000-32767` */
  readonly text: string;
  readonly first: number;
  readonly last: number;
}

/**
 * `30000-32767`, `30000+2767` (the first port and how many more) or one port, as upstream reads
 * `--service-node-port-range`. Throws a StatusError that says what is wrong.
 */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d{1,5})(?:([-+])(\d{1,5}))?$/.exec(text.trim());
  if (match === null) throw refused(text, "a range of ports such as 30000-32767 is wanted");
  const [, start, sign, end] = match;
  const first = Number(start);
  const last = end === undefined ? first : sign === "+" ? first + Number(end) : Number(end);
  if (first < 1 || last > 65_535) throw refused(text, "ports must be between 1 and 65535");
  if (last < first) throw refused(text, "the last port is smaller than the first");
  return { text: `${first}-${last}`, first, last };
}

function refused(text: string, why: string): StatusError {
  return new StatusError(Code.invalidArgument, `service node port range "${text}": ${why}`);
}
