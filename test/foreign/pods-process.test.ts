import { needs } from "./needs.ts";
import { podCases } from "./pod-cases.ts";
import { processWorld } from "./pod-world.ts";

const missing = [needs("kubectl", "kubernetes-client"), needs("busybox", "busybox-static")];
const skip = missing.find((each) => each.skip !== false)?.skip ?? false;

podCases("processes", { skip }, processWorld);
