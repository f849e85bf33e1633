import type { ClientTls } from "../../../../ha/rpc/mod.ts";
import type { Revision } from "../../../../ha/store/types.ts";
import type { Authenticator } from "../../auth/authenticate.ts";
import type { Liveness } from "../../nodes/liveness.ts";
import type { Backend } from "../../verbs/backend.ts";

/** What the faces of the API share. */
export interface Face {
  readonly backend: Backend;
  /** Find out who calls, in this order. */
  readonly authenticators: readonly Authenticator[];
  /** The certificate with which kubelets are called; absent: without TLS, for loopback only. */
  readonly kubeletTls: ClientTls | undefined;
  readonly heartbeats: Liveness;
  /** Of the store behind, in the format of backups; absent: this store has none to give. */
  readonly snapshot:
    | ((sinceRevision: Revision | undefined) => AsyncIterable<Uint8Array>)
    | undefined;
  /** Aborts when the server begins to stop. */
  readonly stopping: AbortSignal;
}
