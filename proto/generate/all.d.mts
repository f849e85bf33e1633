export function generateAll(
  source: string,
  contracts: readonly string[],
  out: string,
): Promise<void>;
