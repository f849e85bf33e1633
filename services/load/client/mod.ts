/** The load client, for the load and for the drills: see {@link LoadClient}. */
export { Call, okCode } from "./call.ts";
export { CallError, LoadClient } from "./client.ts";
export type { LoadTls } from "./connection.ts";
export { namePlace, placed, RequestTemplate, stampPlace } from "./template.ts";
