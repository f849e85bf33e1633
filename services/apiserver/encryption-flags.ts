/** The flags of encryption at rest. */
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { builtInRegistry } from "../kinds/mod.ts";
import { type OpenedEncryption, openEncryption } from "./storage/encryption/config-file.ts";

export const encryptionFlags = {
  "encryption-provider-config": {
    type: "string",
    help: "EncryptionConfiguration of apiserver.config.k8s.io/v1: what is stored encrypted",
  },
  "encryption-provider-config-automatic-reload": {
    type: "boolean",
    default: false,
    help: "read --encryption-provider-config again whenever it changes",
  },
} as const;

interface EncryptionFlags {
  readonly "encryption-provider-config": string | undefined;
  readonly "encryption-provider-config-automatic-reload": boolean;
}

/** Undefined: nothing is encrypted. Throws InvalidArgument. */
export async function encryptionOf(
  flags: EncryptionFlags,
  log: Log,
): Promise<OpenedEncryption | undefined> {
  const file = flags["encryption-provider-config"];
  const reload = flags["encryption-provider-config-automatic-reload"];
  if (file === undefined && !reload) return undefined;
  if (file === undefined) {
    throw new StatusError(
      Code.invalidArgument,
      "--encryption-provider-config-automatic-reload needs --encryption-provider-config",
    );
  }
  const registry = builtInRegistry();
  return openEncryption({ file, reload, registry, clock: productionClock, log });
}
