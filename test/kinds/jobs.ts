/** Jobs and cron jobs that are right, to be changed. */
import { type Loose, meta, podSpec } from "./documents.ts";

export const job = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = { template: { spec: { ...podSpec(), restartPolicy: "Never" } } };
  change(spec);
  return { apiVersion: "batch/v1", kind: "Job", metadata: meta("j"), spec };
};
export const indexed = (change: (spec: Loose) => void = () => {}): Loose =>
  job((spec) => {
    Object.assign(spec, { completionMode: "Indexed", completions: 5 });
    change(spec);
  });

export const cronJob = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = { schedule: "*/5 * * * *", jobTemplate: { spec: job().spec } };
  change(spec);
  return { apiVersion: "batch/v1", kind: "CronJob", metadata: meta("c"), spec };
};

export const condition = (type: string) => ({ type, status: "True" });
export const started = "2026-01-01T00:00:00Z";
export const ended = "2026-01-01T00:01:00Z";
