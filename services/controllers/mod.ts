export { ControllerManager, type ManagerOptions } from "./manager.ts";
export { controllersByFlags, program } from "./program.ts";
export type { Controller, ControllerContext } from "./types.ts";
