export { explainPod, type PodExplanation } from "./explain-pod.ts";
export * from "./framework/mod.ts";
export { defaultPlugins } from "./plugins/mod.ts";
export { deadlineAnnotation } from "./pod-info.ts";
export { program } from "./program.ts";
export { Scheduler } from "./scheduler.ts";
export { volumeBinder } from "./volume-binder.ts";
