/** What `docker/compose.yaml` would start, read from that file. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export const root = join(import.meta.dirname, "../..");

export interface ComposeService {
  /** Absent: it is started always. */
  readonly profiles?: readonly string[];
  readonly image?: string;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly tmpfs?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly network_mode?: string;
  readonly networks?: Readonly<Record<string, { readonly ipv4_address: string }>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** Those that are started without a profile: the cluster itself. */
export function clusterServices({ services }: Compose): Compose["services"] {
  return Object.fromEntries(Object.entries(services).filter(([, { profiles }]) => !profiles));
}

export function readCompose(): Compose {
  return parse(readFileSync(join(root, "docker/compose.yaml"), "utf8"), { merge: true }) as Compose;
}

/** The last `ENTRYPOINT` of the image, which services have unless they say otherwise. */
function imageEntrypoint(): readonly string[] {
  const text = readFileSync(join(root, "docker/Dockerfile"), "utf8");
  return JSON.parse(/^ENTRYPOINT (.*)$/m.exec(text)?.[1] ?? "[]") as string[];
}

/** As compose starts it: `$$` is how its files write `$`. */
export function commandOf({ entrypoint, command = [] }: ComposeService): string[] {
  return [...(entrypoint ?? imageEntrypoint()), ...command].map((word) =>
    word.replaceAll("$$", "$"),
  );
}
