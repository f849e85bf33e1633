/** What the API can do, described for programs and for `kubectl explain`. */
export { OpenApi, type ServedDocument } from "./documents.ts";
