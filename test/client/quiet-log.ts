import type { Log } from "../../ha/runtime/types.ts";

export const quietLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => quietLog,
};
