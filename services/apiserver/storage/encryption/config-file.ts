/** The file with the encryption's configuration, read at the start and, if wanted, when it changes. */
import { readFile } from "node:fs/promises";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Clock, Log } from "../../../../ha/runtime/types.ts";
import type { Resource } from "../../../kinds/mod.ts";
import { limits } from "../../limits.ts";
import { parseEncryptionConfiguration } from "./configuration.ts";
import { Encryption } from "./encryption.ts";

export interface OpenedEncryption {
  readonly encryption: Encryption;
  close(): void;
}

export interface EncryptionFileOptions {
  readonly file: string;
  readonly reload: boolean;
  /** The built-in resources. */
  readonly registry: Iterable<Resource>;
  readonly clock: Pick<Clock, "every">;
  readonly log: Log;
}

/** Throws InvalidArgument. A later version of the file that is wrong leaves the present one valid. */
export async function openEncryption(options: EncryptionFileOptions): Promise<OpenedEncryption> {
  const { file, log } = options;
  let text = await textOf(file);
  const rules = parseEncryptionConfiguration(text, file);
  const encryption = new Encryption(rules, options.registry);
  if (!options.reload) return { encryption, close: () => {} };
  let refused = "";
  const reload = async () => {
    const next = await textOf(file);
    if (next === text || next === refused) return;
    refused = next;
    encryption.replace(parseEncryptionConfiguration(next, file));
    text = next;
    refused = "";
    log.info("the encryption's configuration has been read again", { file });
  };
  let told = "";
  const close = options.clock.every(limits.encryptionReloadMillis, () => {
    reload().then(
      () => {
        told = "";
      },
      (thrown: unknown) => {
        const { message } = StatusError.from(thrown);
        if (message !== told) log.error("the encryption's keys stay as they are", { message });
        told = message;
      },
    );
  });
  return { encryption, close };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (thrown) {
    const { message } = thrown as Error;
    throw new StatusError(Code.invalidArgument, `--encryption-provider-config ${file}: ${message}`);
  }
}
