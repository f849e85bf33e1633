/** `trireme down`: stops the cluster of a data directory in order. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { isOurs, readJson } from "../endpoints.ts";
import { directories } from "../layout.ts";
import { print } from "../output.ts";

const stopMillisMax = 60_000;

export async function down(flags: { readonly dataDir: string }): Promise<void> {
  const lock = readJson<{ readonly pid: number }>(directories(flags.dataDir).lock);
  if (lock === undefined || !isOurs(lock.pid)) {
    print(`no cluster is running in ${flags.dataDir}`);
    return;
  }
  process.kill(lock.pid, "SIGTERM");
  const deadline = Date.now() + stopMillisMax;
  while (isOurs(lock.pid)) {
    if (Date.now() > deadline) {
      throw new StatusError(
        Code.deadlineExceeded,
        `the supervisor (pid ${lock.pid}) has not stopped after ${stopMillisMax / 1000} s`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  print(`stopped; the state is kept in ${flags.dataDir}`);
}
