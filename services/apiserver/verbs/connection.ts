/** Connections into pods and through them, as webhooks and policies are asked about them. */
import type { Document, Resource } from "../../kinds/mod.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";

export interface Connection {
  readonly resource: Resource;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** E.g. a PodExecOptions. */
  readonly options: Document;
}

/** Throws what refuses it. */
export async function admitConnection(
  backend: Backend,
  call: Call,
  { options, ...about }: Connection,
): Promise<void> {
  await backend.admission.check({
    ...about,
    user: call.user,
    operation: "connect",
    document: options,
    stored: undefined,
    dryRun: false,
    warnings: call.warnings,
    annotate: call.audit?.annotate,
    traced: call,
    notes: new Map(),
  });
}
