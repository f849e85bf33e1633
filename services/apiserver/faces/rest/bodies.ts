import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { limits } from "../../limits.ts";

export function bodyTooLarge(): StatusError {
  return new StatusError(
    Code.resourceExhausted,
    `Request entity too large: limit is ${limits.restBodyBytes}`,
    { reason: "RequestEntityTooLarge" },
  );
}
