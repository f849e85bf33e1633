import type { Resource } from "./resources.mjs";

export function completed(name: string, text: string, resources: readonly Resource[]): string;
