/** What every process of the local cluster tells of itself on `/metrics`. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { ClientTls } from "../../../ha/rpc/mod.ts";
import { adminTls } from "../connect.ts";
import type { Endpoints } from "../endpoints.ts";
import { type ClusterShape, host, ports } from "../layout.ts";

export interface Target {
  /** E.g. `master-0`. */
  readonly process: string;
  /** As in `trireme <program>`. */
  readonly program: string;
  readonly url: string;
}

export interface Scrape extends Target {
  /** Undefined: it did not answer, and `error` says why. */
  readonly text: string | undefined;
  readonly error: string | undefined;
}

/** Every process that has metrics, whether it runs or not. */
export function scrapeTargets(endpoints: Endpoints, shape: ClusterShape): Target[] {
  const at = ports(shape);
  const plain = (port: number) => `http://${host}:${port}/metrics`;
  const { masters, balancers, schedulers, controllerManagers, nodes } = endpoints;
  return [
    ...masters.flatMap(({ name, https, etcd }) => [
      { process: name, program: "apiserver", url: `https://${https}/metrics` },
      { process: `${name}'s member`, program: "store", url: `https://${etcd}/metrics` },
    ]),
    ...balancers.map(({ name }, i) => ({
      ...{ process: name, program: "balancer", url: plain(at.metrics.balancer(i)) },
    })),
    ...schedulers.map(({ name }, i) => ({
      ...{ process: name, program: "scheduler", url: plain(at.metrics.scheduler(i)) },
    })),
    ...controllerManagers.map(({ name }, i) => ({
      process: name,
      program: "controller-manager",
      url: plain(at.metrics.controllerManager(i)),
    })),
    ...nodes.flatMap(({ name }, i) => [
      { process: name, program: "kubelet", url: `https://${host}:${at.kubelet(i)}/metrics` },
      {
        process: `kube-proxy-${name}`,
        program: "kube-proxy",
        url: plain(at.metrics.kubeProxy(i)),
      },
    ]),
  ];
}

export function scrapeAll(
  targets: readonly Target[],
  endpoints: Endpoints,
): Promise<readonly Scrape[]> {
  const tls = adminTls(endpoints);
  const one = async (target: Target): Promise<Scrape> => {
    try {
      return { ...target, text: await fetchText(target.url, tls), error: undefined };
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown.message : String(thrown);
      return { ...target, text: undefined, error };
    }
  };
  return Promise.all(targets.map(one));
}

const answerMillisMax = 3_000;
const answerBytesMax = 32 * 1024 * 1024;

function fetchText(url: string, tls: ClientTls): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(answerMillisMax);
    const request = url.startsWith("https:")
      ? requestHttps(url, { ...tls, signal, agent: false })
      : requestHttp(url, { signal, agent: false });
    request.on("response", (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on("data", (part: Buffer) => {
        bytes += part.length;
        parts.push(part);
        if (bytes > answerBytesMax) request.destroy(new Error("the answer is too large"));
      });
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`status ${response.statusCode}: ${text.slice(0, 200).trim()}`));
      });
    });
    request.on("error", reject);
    request.end();
  });
}

/** The samples of one metric: its labels and value. */
export function samplesOf(
  text: string,
  metric: string,
): { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] {
  const found = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith(metric)) continue;
    const rest = line.slice(metric.length);
    const match = /^(?:\{(.*)\})? (\S+)$/.exec(rest);
    if (match === null) continue;
    const labels: Record<string, string> = {};
    for (const [, name = "", value = ""] of (match[1] ?? "").matchAll(
      /(\w+)="((?:[^"\\]|\\.)*)"/g,
    )) {
      labels[name] = value.replaceAll('\\"', '"').replaceAll("\\n", "\n").replaceAll("\\\\", "\\");
    }
    found.push({ labels, value: Number(match[2]) });
  }
  return found;
}
