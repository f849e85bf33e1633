export { ClientConnection, type StreamHandler } from "./connection.ts";
export type { ServerTls } from "./dial.ts";
