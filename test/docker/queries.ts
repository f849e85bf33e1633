/** The queries of the dashboard and the alert rules, and the metrics that they name. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { root } from "./compose.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

export function readAlerts(): readonly Rule[] {
  const text = readFileSync(join(root, "docker/alerts.yaml"), "utf8");
  const { groups } = parse(text) as { readonly groups: readonly { readonly rules: Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export function readDashboard(): { readonly panels: readonly Panel[] } {
  const text = readFileSync(join(root, "docker/grafana/dashboard.json"), "utf8");
  return JSON.parse(text) as { readonly panels: readonly Panel[] };
}

export function allQueries(): readonly string[] {
  const panels = readDashboard().panels.flatMap(({ targets = [] }) => targets);
  return [...panels, ...readAlerts()].map(({ expr }) => expr);
}

/** A metric with the labels that a query asks of it, or groups it by. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly {
    readonly label: string;
    readonly operator: string;
    readonly value: string;
  }[];
  readonly groupedBy: readonly string[];
}

const words: ReadonlySet<string> = new Set([
  "by",
  "without",
  "on",
  "ignoring",
  "and",
  "or",
  "unless",
  "bool",
  "offset",
]);
/** Prometheus' own. */
const builtIn: ReadonlySet<string> = new Set(["up"]);

/** Labels that Prometheus adds to what a process tells. */
export const targetLabels: ReadonlySet<string> = new Set(["job", "instance"]);

/** A small reader of PromQL: enough for names and labels. Throws for what is not balanced. */
export function selectorsOf(query: string): Selector[] {
  const groupings: string[] = [];
  let plain = query.replace(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g, (_, list: string) => {
    groupings.push(
      ...list
        .split(",")
        .map((label) => label.trim())
        .filter((label) => label !== ""),
    );
    return " ";
  });
  plain = plain.replace(/\[[^\]]*\]/g, " ");
  const found: Selector[] = [];
  const shape = /([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\(|\{([^}]*)\})?/g;
  const outside = plain.replace(/"[^"]*"/g, (text) => text.replaceAll(/[(){}[\]]/g, "_"));
  for (const [open, close] of [
    ["(", ")"],
    ["{", "}"],
  ] as const) {
    if (outside.split(open).length !== outside.split(close).length)
      throw new Error(`unbalanced: ${query}`);
  }
  for (const [, name = "", after = "", inner = ""] of plain.matchAll(shape)) {
    if (after === "(" || words.has(name) || builtIn.has(name)) continue;
    const matchers = [...inner.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(
      ([, label = "", operator = "", value = ""]) => ({ label, operator, value }),
    );
    found.push({ metric: name, matchers, groupedBy: groupings });
  }
  return found;
}
