import { DiskError } from "../types.ts";

/**
 * Turns whatever LevelDB threw into a {@link DiskError} whose message names the directory and what
 * to do about it.
 */
export function toDiskError(thrown: unknown, directory: string): DiskError {
  if (thrown instanceof DiskError) return thrown;
  const { codes, text } = unwrap(thrown);
  const options = { cause: thrown };
  if (codes.includes("LEVEL_LOCKED")) {
    return new DiskError(
      "io",
      `data directory ${directory} is locked: is another member running on this directory?`,
      options,
    );
  }
  if (codes.includes("LEVEL_CORRUPTION") || /corrupt|missing files/i.test(text)) {
    return corrupt(directory, text, options);
  }
  // A file that the manifest names is gone, or ends before the place where it should be read.
  if (/(MANIFEST-|\.ldb|\.sst).*(No such file|Invalid argument)/.test(text))
    return corrupt(directory, text, options);
  if (/No space left|ENOSPC|quota exceeded|EDQUOT/i.test(text)) {
    return new DiskError(
      "full",
      `no space left for data directory ${directory}: free some, then restart the member (${text})`,
      options,
    );
  }
  // With a cause below it, "not open" only says that opening failed.
  const innermost = codes.at(-1) ?? "";
  if (innermost === "LEVEL_DATABASE_NOT_OPEN" || innermost === "LEVEL_ITERATOR_NOT_OPEN") {
    return closedError(directory);
  }
  return new DiskError(
    "io",
    `data directory ${directory} failed: check the device and its permissions (${text})`,
    options,
  );
}

export function corrupt(directory: string, detail: string, options?: ErrorOptions): DiskError {
  return new DiskError(
    "corrupt",
    `data directory ${directory} is damaged and cannot be trusted (${detail}): move it away and ` +
      "let the member rejoin from its peers, or restore it from a backup",
    options,
  );
}

export function closedError(directory: string): DiskError {
  return new DiskError("closed", `data directory ${directory} has been closed`);
}

/** `abstract-level` hides the native error one or two causes down. */
function unwrap(thrown: unknown): { codes: string[]; text: string } {
  const codes: string[] = [];
  let text = String(thrown);
  let error: unknown = thrown;
  for (let depth = 0; depth < 4 && error instanceof Error; depth++) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined) codes.push(code);
    text = error.message;
    error = error.cause;
  }
  return { codes, text };
}
