/** How the command line speaks: tables, and errors as kubectl words them. */
import { dirname, join } from "node:path";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { type Endpoints, readJson } from "./endpoints.ts";

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function complain(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Columns aligned by their widest cell, three spaces between, as kubectl prints them. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd((widths[i] ?? 0) + 3)))
        .join(""),
    )
    .join("\n");
}

/** `Error from server (NotFound): pods "x" not found`, or the local error's own words. */
export function errorText(thrown: unknown): string {
  const error = StatusError.from(thrown);
  const reason = error.detail?.reason;
  return reason ? `Error from server (${reason}): ${error.message}` : `error: ${error.message}`;
}

export function printEndpoints(endpoints: Endpoints, file: string, say = print): void {
  say(`  gRPC (TLS)     ${endpoints.grpcEndpoints.join(",")}`);
  say(`  etcd (TLS)     ${endpoints.etcdEndpoints.join(",")}`);
  say(`  REST (TLS)     ${endpoints.httpsEndpoints.join(",")}`);
  const { ingress } = endpoints;
  if (ingress !== undefined) {
    say(`  ingress        http://${ingress.http} https://${ingress.https}`);
  }
  say(`  CA             ${endpoints.ca}`);
  say(`  client cert    ${endpoints.clientCert}`);
  say(`  client key     ${endpoints.clientKey}`);
  say(`  everything     ${file}`);
  const bridge = readJson<{ readonly url: string }>(join(dirname(file), "bridge.json"));
  if (bridge !== undefined) say(`  bridge         ${bridge.url}`);
  say(`  for kubectl    export KUBECONFIG=${endpoints.kubeconfig}`);
}
