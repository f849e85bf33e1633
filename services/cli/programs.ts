/** The components that `trireme <name>` starts; loaded only when asked for. */
import { type Flags, type Program, runProgram } from "../../ha/runtime/production/process.ts";

const programs: Readonly<Record<string, () => Promise<{ readonly program: unknown }>>> = {
  apiserver: () => import("../apiserver/main.ts"),
  balancer: () => import("../../ha/balancer/main.ts"),
  scheduler: () => import("../scheduler/main.ts"),
  "controller-manager": () => import("../controllers/main.ts"),
  kubelet: () => import("../kubelet/main.ts"),
  hollow: () => import("../kubelet/hollow/main.ts"),
  store: () => import("./commands/store.ts"),
  ingress: () => import("../ingress/main.ts"),
  dns: () => import("../dns/main.ts"),
  "kube-proxy": () => import("../kube-proxy/main.ts"),
};

export const programNames = Object.keys(programs);

/** False: there is no such component. */
export async function runComponent(name: string, args: readonly string[]): Promise<boolean> {
  const load = programs[name];
  if (!load) return false;
  // Each program's flags have their own type; only `runProgram` looks at them.
  const { program } = (await load()) as { program: Program<Flags> };
  await runProgram(program, args);
  return true;
}
