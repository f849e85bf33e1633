/** `trireme kubeconfig`: access for one more user, as a file for kubectl. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { createAuthority } from "../../apiserver/pki/mod.ts";
import { type Endpoints, readEndpoints } from "../endpoints.ts";
import { kubeconfigText, writeKubeconfig } from "../kubeconfig.ts";
import { directories } from "../layout.ts";
import { print } from "../output.ts";

export interface KubeconfigFlags {
  readonly dataDir: string;
  readonly user: string;
  readonly group: readonly string[];
  readonly out?: string;
  readonly server?: string;
  readonly days: number;
}

export async function kubeconfig(flags: KubeconfigFlags): Promise<void> {
  const { dataDir, user, group: organizations, days, out } = flags;
  const servers = serversOf(flags.server, () => readEndpoints(dataDir));
  const authority = await createAuthority(directories(dataDir).pki);
  const pair = await authority.issue({ commonName: user, organizations, days, use: "client" });
  const text = kubeconfigText({ servers, ca: authority.cert, user, pair });
  if (out === undefined) {
    print(text.trimEnd());
    return;
  }
  writeKubeconfig(out, text);
  print(`export KUBECONFIG=${out}`);
}

function serversOf(server: string | undefined, endpoints: () => Endpoints): string[] {
  if (server === undefined) return endpoints().httpsEndpoints.map((each) => `https://${each}`);
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url?.protocol === "https:") return [server];
  throw new StatusError(Code.invalidArgument, `--server ${server}: must be an https:// URL`);
}
