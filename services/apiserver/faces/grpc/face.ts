import type { Revision } from "../../../../ha/store/types.ts";
import type { Authenticator } from "../../auth/authenticate.ts";
import type { NodeServing } from "../../nodes/types.ts";

/** What the faces of the API share. */
export interface Face extends NodeServing {
  /** Find out who calls, in this order. */
  readonly authenticators: readonly Authenticator[];
  /** Of the store behind, in the format of backups; absent: this store has none to give. */
  readonly snapshot:
    | ((sinceRevision: Revision | undefined) => AsyncIterable<Uint8Array>)
    | undefined;
}
