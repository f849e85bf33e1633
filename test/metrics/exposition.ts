/** A strict reader of the Prometheus text format: what it takes, every scraper takes. */
import assert from "node:assert/strict";

export interface Exposed {
  readonly type: string;
  readonly help: string;
  /** By the text of the labels, without braces, as written. */
  readonly samples: ReadonlyMap<string, number>;
}

const nameShape = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const labelShape = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const sampleShape = new RegExp(
  `^(${nameShape})(?:\\{(${labelShape}(?:,${labelShape})*)\\})? (\\+Inf|-Inf|NaN|-?[0-9.e+-]+)$`,
);
const headShape = new RegExp(`^# (HELP|TYPE) (${nameShape}) (.+)$`);

/** Fails the test for what is no exposition. */
export function readExposition(text: string): Map<string, Exposed> {
  assert.ok(text.endsWith("\n"), "the last line ends");
  const families = new Map<string, { type: string; help: string; samples: Map<string, number> }>();
  let help: { name: string; text: string } | undefined;
  let present: string | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const head = headShape.exec(line);
    if (head?.[1] === "HELP") {
      assert.equal(help, undefined, `HELP without TYPE before: ${line}`);
      help = { name: head[2] ?? "", text: head[3] ?? "" };
      continue;
    }
    if (head?.[1] === "TYPE") {
      const name = head[2] ?? "";
      assert.equal(help?.name, name, `TYPE without its HELP: ${line}`);
      assert.ok(!families.has(name), `${name} comes twice`);
      assert.match(head[3] ?? "", /^(counter|gauge|histogram)$/);
      families.set(name, { type: head[3] ?? "", help: help?.text ?? "", samples: new Map() });
      present = name;
      help = undefined;
      continue;
    }
    const sample = sampleShape.exec(line);
    assert.ok(sample !== null, `no sample: ${JSON.stringify(line)}`);
    const [, name = "", labels = "", value = ""] = sample;
    const family = families.get(present ?? "");
    assert.ok(family !== undefined && present !== undefined, `a sample before its TYPE: ${line}`);
    const suffix = name.slice(present.length);
    assert.ok(name.startsWith(present), `${name} stands among the samples of ${present}`);
    const suffixes = family.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    assert.ok(suffixes.includes(suffix), `${name} is no sample of a ${family.type}`);
    const key = suffix === "" ? labels : `${suffix} ${labels}`;
    assert.ok(!family.samples.has(key), `a series comes twice: ${line}`);
    family.samples.set(key, Number(value.replace("Inf", "Infinity")));
  }
  for (const [name, family] of families)
    if (family.type === "histogram") checkBuckets(name, family);
  return families;
}

/** Buckets grow, the last one is infinite and equals the count. */
function checkBuckets(name: string, { samples }: Exposed): void {
  const last = new Map<string, { bound: number; count: number }>();
  for (const [key, count] of samples) {
    if (!key.startsWith("_bucket ")) continue;
    const match = /^_bucket (.*?),?le="([^"]+)"$/.exec(key);
    assert.ok(match !== null, `${name} ${key}: le is the last label`);
    const [, labels = "", le = ""] = match;
    const bound = Number(le.replace("Inf", "Infinity"));
    const before = last.get(labels);
    assert.ok(before === undefined || (bound > before.bound && count >= before.count), key);
    last.set(labels, { bound, count });
  }
  for (const [labels, { bound, count }] of last) {
    assert.equal(bound, Number.POSITIVE_INFINITY, `${name}{${labels}} has no bucket +Inf`);
    assert.equal(samples.get(`_count ${labels}`), count, `${name}{${labels}}`);
  }
}

/** The sum of the samples whose labels hold all of these texts. */
export function sumOf(
  families: ReadonlyMap<string, Exposed>,
  name: string,
  ...labels: readonly string[]
): number {
  const family = families.get(name);
  assert.ok(family !== undefined, `${name} is not told`);
  let sum = 0;
  for (const [key, value] of family.samples) {
    if (labels.every((label) => key.includes(label))) sum += value;
  }
  return sum;
}
