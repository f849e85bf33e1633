/** The live page of the bridge: what the supervisor tells, line by line, as it happens. */
import { signal } from "@preact/signals";
import { h, render } from "preact";
import { Chart } from "./charts.js";

const samplesMax = 240;
const retryMillis = 500;
const drills =
  "leader-kill follower-kill leader-pause leader-partition asymmetric-partition minority quorum-loss rolling-restart member-replace slow-disk disk-full disk-error clock-jump balancer-kill balancer-pause scheduler-kill controller-kill node-kill node-partition full-stop backup-restore relist-storm random".split(
    " ",
  );
const loads =
  "put get mixed list watch-fanout pods-create pods-churn nodes-heartbeat relist-storm".split(" ");

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const picture = signal(undefined);
const samples = signal([]);
/** What hinders the page, in words. */
const trouble = signal("");
const refused = signal("");

const headers = { authorization: `Bearer ${token}` };

async function follow() {
  for (;;) {
    try {
      const response = await fetch("/live", { headers });
      if (!response.ok) throw new Error((await response.json()).error);
      trouble.value = "";
      await read(response.body.pipeThrough(new TextDecoderStream()).getReader());
      trouble.value = "the supervisor has ended the connection";
    } catch (error) {
      trouble.value = `the supervisor does not answer: ${error.message}`;
    }
    await new Promise((resolve) => setTimeout(resolve, retryMillis));
  }
}

async function read(reader) {
  let rest = "";
  let first = true;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const { samples: more, ...now } = JSON.parse(line);
      picture.value = now;
      if (first) samples.value = more;
      else if (more.length > 0) samples.value = [...samples.value, ...more].slice(-samplesMax);
      first = false;
    }
  }
}

async function start(kind, name, duration) {
  const response = await fetch("/runs", {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ kind, name, ...(duration && { duration }) }),
  });
  refused.value = response.ok ? "" : (await response.json()).error;
}

async function stop(id) {
  await fetch(`/runs/${id}`, { method: "DELETE", headers });
}

/** The report needs the token too, so it is fetched and shown as it came. */
async function open(id) {
  const response = await fetch(`/runs/${id}/report`, { headers });
  if (!response.ok) {
    refused.value = (await response.json()).error;
    return;
  }
  const url = URL.createObjectURL(await response.blob());
  window.open(url, "_blank");
}

function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB", { hour12: false });
}

function Master({ master, leader, lead }) {
  const { name, up, ready, role, term, applied, revision } = master;
  const leads = up && name === leader;
  const state = up ? (leads ? "leader" : ready ? role : `${role}, not ready`) : "does not answer";
  const lag = Math.max(0, lead - applied);
  const facts = up ? { term, revision, applied, lag } : {};
  return h(
    "div",
    { class: `card ${up ? (leads ? "leader" : "") : "away"}`, "data-master": name, "data-up": up },
    h("strong", null, `${leads ? "★ " : up ? "● " : "✗ "}${name}`),
    h("div", { class: up ? "soft" : "bad" }, state),
    h(
      "dl",
      null,
      Object.entries(facts).map(([key, value]) => [
        h("dt", { class: "soft" }, key),
        h("dd", null, value.toLocaleString("en-US")),
      ]),
    ),
  );
}

function Node({ node, pods }) {
  const { name, ready, troubles } = node;
  return h(
    "div",
    { class: `card ${ready ? "" : "away"}` },
    h("strong", null, `${ready ? "● " : "✗ "}${name}`),
    h("div", { class: ready ? "soft" : "bad" }, ready ? "ready" : "not ready"),
    troubles.map((text) => h("div", { class: "bad" }, text)),
    h(
      "div",
      { class: "pods" },
      pods.map(({ name: pod, namespace, status }) =>
        h(
          "span",
          { class: "pod", title: `${namespace}/${pod}: ${status}` },
          status === "Running" ? pod : `${pod} · ${status}`,
        ),
      ),
    ),
  );
}

function Starter({ kind, names, timed }) {
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void start(kind, form.get("name"), timed ? form.get("duration") : undefined);
  };
  return h(
    "form",
    { onSubmit: submit, "data-start": kind },
    h(
      "label",
      null,
      `${kind} `,
      h(
        "select",
        { name: "name" },
        names.map((name) => h("option", null, name)),
      ),
    ),
    timed && h("input", { name: "duration", value: "10s", size: 5, "aria-label": "duration" }),
    h("button", null, `start the ${kind}`),
  );
}

function Run({ run }) {
  const { id, kind, name, state, code, output, report } = run;
  const result = state === "running" ? "is running" : `ended with ${code ?? "a signal"}`;
  return h(
    "section",
    { "data-run": id },
    h(
      "p",
      null,
      h("strong", null, `${kind} ${name} `),
      `${result} `,
      state === "running" && h("button", { onClick: () => stop(id) }, "stop it"),
      report && h("button", { onClick: () => open(id) }, "open its report"),
    ),
    h("pre", null, output),
  );
}

function Events({ events, kinds, empty }) {
  const shown = events.filter(({ kind }) => kinds.includes(kind)).toReversed();
  if (shown.length === 0) return h("p", { class: "soft" }, empty);
  const items = shown.map(({ at, kind, text }) =>
    h("li", { "data-kind": kind, "data-at": at }, h("time", null, clock(at)), text),
  );
  return h("ol", { class: "events" }, items);
}

function Bridge() {
  const now = picture.value;
  if (now === undefined) return h("p", null, trouble.value || "The bridge is connecting.");
  const { masters, leader, nodes, pods, events, runs } = now;
  const lead = Math.max(0, ...masters.map(({ applied, commit }) => Math.max(applied, commit)));
  const names = masters.map(({ name }) => name);
  const led = masters.some(({ name, up }) => up && name === leader);
  const unplaced = pods.filter(({ node }) => !nodes.some(({ name }) => name === node));
  return h(
    "div",
    null,
    h("h1", null, "Trireme"),
    trouble.value && h("p", { class: "bad" }, trouble.value),
    h(
      "p",
      { id: "leader", class: led ? "soft" : "bad" },
      led ? [leader, " leads"] : "no master leads",
    ),
    h("h2", null, "Masters"),
    h(
      "div",
      { class: "cards" },
      masters.map((master) => h(Master, { master, leader, lead, key: master.name })),
    ),
    h("h2", null, "Live"),
    h(
      "div",
      { class: "charts" },
      h(Chart, {
        title: "a read through the balancers, ms",
        samples: samples.value,
        series: ["p50", "p99"],
        valuesOf: ({ p50, p99 }) => [p50, p99],
      }),
      h(Chart, {
        title: "writes a second",
        samples: samples.value,
        series: ["writes"],
        valuesOf: ({ writesPerSecond }) => [writesPerSecond],
      }),
      names.length > 0 &&
        h(Chart, {
          title: "calls of the balancers a second",
          samples: samples.value,
          series: names,
          valuesOf: ({ traffic }) => names.map((name) => traffic[name]),
        }),
    ),
    h("h2", null, "Outages"),
    h(Events, { events, kinds: ["outage"], empty: "none since the start" }),
    h("h2", null, "What happened"),
    h(Events, { events, kinds: ["election", "master", "node", "run"], empty: "nothing yet" }),
    h("h2", null, "Nodes and their pods"),
    h(
      "div",
      { class: "cards" },
      nodes.map((node) =>
        h(Node, { node, pods: pods.filter((pod) => pod.node === node.name), key: node.name }),
      ),
      unplaced.length > 0 &&
        h(Node, { node: { name: "on no node", ready: false, troubles: [] }, pods: unplaced }),
    ),
    h("h2", null, "Try it"),
    h(Starter, { kind: "load", names: loads, timed: true }),
    h(Starter, { kind: "drill", names: drills }),
    refused.value && h("p", { class: "bad", id: "refused" }, refused.value),
    runs.toReversed().map((run) => h(Run, { run, key: run.id })),
  );
}

render(h(Bridge), document.querySelector("#bridge"));
if (token === "") trouble.value = "The token is missing: open the URL that was printed.";
else void follow();
