/** Documents for the tables of this folder, and the checks they are put through. */
import assert from "node:assert/strict";
import { copyJson, type Document } from "../../services/kinds/mod.ts";
import { registry } from "./registry.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests reach into documents of every shape.
export type Loose = any;

export function podSpec(): Loose {
  return { containers: [{ name: "web", image: "nginx:1.27" }] };
}

export function podDocument(): Loose {
  return { apiVersion: "v1", kind: "Pod", metadata: meta("p"), spec: podSpec() };
}

export function meta(name: string): Loose {
  return { name, namespace: "default" };
}

export function deploymentDocument(kind = "Deployment"): Loose {
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: meta("d"),
    spec: {
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: podSpec() },
    },
  };
}

export function serviceDocument(): Loose {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: meta("s"),
    spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
  };
}

/** Defaults a copy and returns it with what is wrong, as "reason field" lines. */
export function check(document: Document): { document: Loose; problems: string[] } {
  const kind = kindOf(document);
  const copy = copyJson(document);
  kind.setDefaults(copy);
  const once = copyJson(copy);
  kind.setDefaults(copy);
  assert.deepEqual(copy, once, "defaults are idempotent");
  const problems = kind.validate(copy).map(({ reason, field }) => `${reason} ${field}`);
  return { document: copy, problems };
}

export function updateProblems(stored: Document, change: (next: Loose) => void): string[] {
  const kind = registry.byKind(stored.apiVersion ?? "", stored.kind ?? "");
  assert.ok(kind);
  const before = copyJson(stored);
  kind.setDefaults(before);
  const next = copyJson(before);
  change(next);
  return kind.validateUpdate(next, before).map(({ reason, field }) => `${reason} ${field}`);
}

/** When changes are made, Unix milliseconds. */
const updateTime = Date.UTC(2026, 0, 2);

const uid = "7b5f2a0e-6f0f-4c38-9d8c-3a1a4ff1e0a2";

/** What the apiserver would store for a new document, if it is valid. */
export function created(document: Document): Loose {
  const kind = kindOf(document);
  const copy = copyJson(document);
  copy.metadata = { uid, ...copy.metadata };
  kind.setDefaults(copy);
  kind.prepareForCreate(copy);
  return copy;
}

/** Everything wrong with a new document, as kubectl prints it. */
export function faults(document: Document): string[] {
  const copy = created(document);
  return kindOf(copy).validate(copy).map(shown);
}

/** Everything wrong with a change of a stored document. */
export function updateFaults(stored: Document, change: (next: Loose) => void): string[] {
  const kind = kindOf(stored);
  const before = created(stored);
  const { status } = stored as Loose;
  if (status !== undefined) before.status = copyJson(status);
  kind.setDefaults(before);
  const next = copyJson(before);
  change(next);
  kind.setDefaults(next);
  kind.prepareForUpdate(next, before, updateTime);
  return [...kind.validate(next), ...kind.validateUpdate(next, before)].map(shown);
}

function shown({ field, message }: { field: string; message: string }): string {
  return `${field}: ${message}`;
}

function kindOf(document: Document) {
  const kind = registry.byKind(document.apiVersion ?? "", document.kind ?? "");
  assert.ok(kind, `${document.apiVersion} ${document.kind}`);
  return kind;
}

/** A row by column name, as `-o wide` shows it. */
export function row(document: Document, now: number): Record<string, string> {
  const kind = registry.byKind(document.apiVersion ?? "", document.kind ?? "");
  assert.ok(kind);
  return Object.fromEntries(
    kind.columns.map(({ name, value }) => [name, String(value(document, now))]),
  );
}
