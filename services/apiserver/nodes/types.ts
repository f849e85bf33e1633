import type { ClientTls } from "../../../ha/rpc/mod.ts";
import type { Backend } from "../verbs/backend.ts";
import type { Liveness } from "./liveness.ts";

/** What this master serves heartbeats and reaches kubelets with. */
export interface NodeServing {
  readonly backend: Backend;
  readonly heartbeats: Liveness;
  /** The certificate with which kubelets are called; absent: without TLS, for loopback only. */
  readonly kubeletTls: ClientTls | undefined;
  /** Aborts when the server begins to stop. */
  readonly stopping: AbortSignal;
}
