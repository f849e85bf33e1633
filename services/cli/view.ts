/** What `npm start` shows: a small live picture on a terminal, plain lines anywhere else. */
import colors from "picocolors";
import { podText } from "./counts.ts";
import { table } from "./output.ts";
import type { ClusterView } from "./watch-cluster.ts";

export interface View {
  update(view: ClusterView): void;
  /** A line that stays. */
  say(text: string): void;
  close(): void;
}

export function createView(output: NodeJS.WriteStream, title: string): View {
  return output.isTTY ? new LiveView(output, title) : new LineView(output);
}

/** Changes within this time are drawn together; a reader follows no faster. */
const redrawMillis = 100;

class LiveView implements View {
  readonly #output: NodeJS.WriteStream;
  readonly #title: string;
  #lines = 0;
  #view: ClusterView | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(output: NodeJS.WriteStream, title: string) {
    this.#output = output;
    this.#title = title;
  }

  update(view: ClusterView): void {
    this.#view = view;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#draw();
    }, redrawMillis);
  }

  say(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
    this.#draw();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #erase(): void {
    if (this.#lines > 0) this.#output.write(`\u001b[${this.#lines}A\u001b[J`);
    this.#lines = 0;
  }

  #draw(): void {
    if (!this.#view) return;
    const width = Math.max(20, this.#output.columns ?? 80);
    const lines = [
      "",
      colors.bold(this.#title),
      ...picture(this.#view).map((l) => cut(l, width)),
      "",
    ];
    this.#erase();
    this.#output.write(`${lines.join("\n")}\n`);
    this.#lines = lines.length;
  }
}

class LineView implements View {
  readonly #output: NodeJS.WriteStream;
  #last = "";

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  /** Only when leader, term, masters, nodes or pods changed: revisions change all the time. */
  update(view: ClusterView): void {
    const line = summary(view);
    if (line === this.#last) return;
    this.#last = line;
    this.#output.write(`${line}\n`);
  }

  say(text: string): void {
    this.#output.write(`${text}\n`);
  }

  close(): void {}
}

function summary(view: ClusterView): string {
  const up = [...view.masters.values()].filter((status) => status?.ready).length;
  const term = view.leader ? Math.max(...[...view.masters.values()].map((s) => s?.term ?? 0)) : "–";
  return (
    `leader ${view.leader ?? "none"} · term ${term} · masters ${up}/${view.masters.size} · ` +
    `nodes ${view.nodes.ready}/${view.nodes.total} ready · pods ${podText(view.pods)}`
  );
}

/** The lines of the live picture: a line for each master, and one for nodes and pods. */
export function picture(view: ClusterView): string[] {
  const states = stateTexts(view);
  const width = Math.max(...[...view.masters.keys()].map((name) => name.length));
  const rows = [...view.masters].map(([name, status]) => {
    const leads = name === view.leader;
    const mark = leads ? colors.green("●") : status?.ready ? colors.green("○") : colors.red("✗");
    const state = states.get(name) ?? colors.red("does not answer");
    return `  ${mark} ${name.padEnd(width)}   ${state}`;
  });
  const { ready, total } = view.nodes;
  const nodes =
    ready === total ? colors.green(`${ready}/${total}`) : colors.yellow(`${ready}/${total}`);
  return [...rows, `  nodes ${nodes} ready   pods ${podText(view.pods)}`];
}

/** By name of each master that answers, in columns as wide as their widest cell. */
function stateTexts(view: ClusterView): ReadonlyMap<string, string> {
  const names: string[] = [];
  const rows: string[][] = [];
  for (const [name, status] of view.masters) {
    if (!status) continue;
    names.push(name);
    rows.push([
      name === view.leader ? "leader" : (status.role ?? ""),
      `term ${status.term ?? 0}`,
      `revision ${status.revision ?? 0}`,
      `applied ${status.appliedIndex ?? 0}`,
    ]);
  }
  const lines = table(rows).split("\n");
  return new Map(names.map((name, i) => [name, lines[i] ?? ""]));
}

/** By visible characters: colour codes take no room. */
function cut(line: string, width: number): string {
  let visible = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with ESC
  return line.replace(/\u001b\[[0-9;]*m|[^\u001b]/g, (piece) => {
    if (piece.length > 1) return piece;
    visible++;
    return visible <= width ? piece : "";
  });
}
