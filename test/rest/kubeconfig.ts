import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyPair } from "../../services/apiserver/pki/mod.ts";
import { kubeconfigText, writeKubeconfig } from "../../services/cli/kubeconfig.ts";
import type { RestWorld } from "./harness.ts";

export function kubeconfigOf(
  world: RestWorld,
  pair: KeyPair = world.admin,
  user = "admin",
): string {
  const servers = [`https://127.0.0.1:${world.port}`];
  return kubeconfigText({ servers, ca: world.ca, user, pair });
}

/** A file that is gone afterwards, in a directory of its own. */
export async function kubeconfigFile(world: RestWorld, pair?: KeyPair, user?: string) {
  const directory = await mkdtemp(join(tmpdir(), "trireme-kubeconfig-"));
  const file = join(directory, "kubeconfig");
  writeKubeconfig(file, kubeconfigOf(world, pair, user));
  return {
    ...{ file, directory },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}
