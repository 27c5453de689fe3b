/** What the whole cluster does, at a glance. */
import { get } from "../core/api.js";
import { useEvery } from "../components/every.js";
import { Loaded } from "../components/failure.js";
import { State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Ago } from "../components/time.js";
import { Trends } from "./trends.js";
import { bytes, compact, duration, number, plural, rate } from "../core/format.js";
import { EVERYTHING } from "../core/live.js";
import { html } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { to } from "../core/router.js";

/** Throughput and heartbeats change without an event. */
const LOOK_MILLISECONDS = 5000;
const STATES = ["RUNNING", "SCHEDULED", "STOP_REQUESTED", "STOPPING", "PAUSED", "FAILED", "STOPPED", "COMPLETED"];
const WORKER_STATES = { live: ["good", "●"], draining: ["warning", "◼"], dead: ["bad", "✗"] };
const LATE_SECONDS = 3;
const concerns = (change) => change === EVERYTHING || change.workers || change.tables || change.jobs === null || change.jobs.length > 0;

export default function Overview({ query }) {
  const overview = useResource((signal) => get("/overview", undefined, signal), [], concerns);
  useEvery(LOOK_MILLISECONDS, overview.reload);
  return html`<h1>Overview</h1>
    <${Loaded} resource=${overview}>${(data) => html`
      ${isNew(data) && html`<${FirstSteps} hasWorkers=${data.worker_count > 0} />`}
      <div class="cards"><${Throughput} of=${data.throughput} /><${Jobs} of=${data.jobs} /></div>`}</${Loaded}>
    ${(overview.data === null || !isNew(overview.data)) && html`<${Trends} query=${query} />`}
    ${overview.data !== null && html`<${Details} of=${overview.data} />`}`;
}

function Details({ of }) {
  return html`<div>
    <div class="cards two"><${Datasets} datasets=${of.datasets} /><${Workers} workers=${of.workers} count=${of.worker_count} /></div>
    <${Failures} failures=${of.failures} count=${of.jobs.failed_last_day} />
  </div>`;
}

function isNew({ jobs, datasets }) {
  return datasets.length === 0 && Object.values(jobs.by_state).every((count) => count === 0);
}

function Throughput({ of }) {
  return html`<section class="card" aria-labelledby="throughput"><h2 id="throughput">Throughput <small>over the last minute</small></h2>
    <dl class="figures">
      <div><dt>Blocks</dt><dd>${rate(of.blocks_per_second)} <small>/s</small></dd></div>
      <div><dt>Rows</dt><dd>${compact(of.rows_per_second)} <small>/s</small></dd></div>
      <div><dt>Bytes</dt><dd>${bytes(Math.round(of.bytes_per_second))} <small>/s</small></dd></div>
    </dl></section>`;
}

function Jobs({ of }) {
  const states = STATES.filter((state) => of.by_state[state] > 0 || state === "RUNNING" || state === "FAILED");
  return html`<section class="card" aria-labelledby="jobs"><h2 id="jobs">Jobs</h2>
    <ul class="counts">${states.map((state) => html`<li key=${state}>
      <a href=${to(["jobs"], { state })}><${State} state=${state} /> <b>${number(of.by_state[state] ?? 0)}</b></a></li>`)}</ul></section>`;
}

function Datasets({ datasets }) {
  const columns = [
    { title: "Dataset", heads: true, cell: ({ dataset }) => html`<a class="address" href=${to(["datasets", ...dataset.split("/")])}>${dataset}</a>` },
    { title: "Job", cell: ({ job_id: id }) => (id === null ? "–" : html`<a href=${to(["jobs", id])}>${id}</a>`) },
    { title: "Front", kind: "number", cell: ({ front_block: block }) => number(block) },
    { title: "Head", kind: "number", cell: ({ head_block: block }) => number(block) },
    { title: "Lag", kind: "number", cell: ({ lag_blocks: lag }) => html`<b>${number(lag)}</b>` },
  ];
  return html`<section class="card" aria-labelledby="lag"><h2 id="lag">Behind the head of the chain <small>in blocks, the worst first</small></h2>
    <${Table} caption="Datasets and their lag" columns=${columns} rows=${datasets} keyOf=${(row) => `${row.dataset} ${row.manifest_hash}`}
      empty="No dataset has been deployed yet." /></section>`;
}

function Workers({ workers, count }) {
  const columns = [
    { title: "Worker", heads: true, cell: ({ node_id: id }) => html`<a class="address" href=${to(["workers", id])}>${id}</a>` },
    { title: "State", cell: ({ state }) => html`<${WorkerState} state=${state} />` },
    { title: "Heartbeat", kind: "number", cell: ({ heartbeat_age_seconds: age }) => heartbeat(age) },
    { title: "Slots in use", kind: "number", cell: ({ slots, used_slots: used }) => `${number(used)} of ${number(slots)}` },
    { title: "Version", cell: ({ version }) => version },
  ];
  return html`<section class="card" aria-labelledby="workers"><h2 id="workers">Workers <small>the oldest heartbeat first</small></h2>
    <${Table} caption="Workers" columns=${columns} rows=${workers} keyOf=${({ node_id: id }) => id}
      empty=${html`No worker is there, so jobs wait. <code>ampd worker --node-id NAME</code> starts one.`} />
    ${count > workers.length && html`<p><a href=${to(["workers"])}>All ${number(count)} workers</a></p>`}</section>`;
}

function WorkerState({ state }) {
  const [tone, sign] = WORKER_STATES[state] ?? ["calm", "•"];
  return html`<${State} state=${state} tone=${tone} sign=${sign} />`;
}

function heartbeat(age) {
  return age < LATE_SECONDS ? "now" : `${duration(Math.floor(age))} ago`;
}

function Failures({ failures, count }) {
  const columns = [
    { title: "Job", heads: true, cell: ({ job_id: id, execution }) => html`<a href=${to(["jobs", id])}>${id}</a>${execution > 1 && html` <small>execution ${execution}</small>`}` },
    { title: "Of", cell: ({ dataset, kind }) => html`<span class="address">${dataset ? `${dataset.namespace}/${dataset.name}` : kind}</span>` },
    { title: "When", cell: ({ at_ms: at }) => html`<${Ago} at=${at} />` },
    { title: "Error", cell: ({ error_code: code, error_message: message }) => html`<code>${code ?? "–"}</code> <span class="message">${message}</span>` },
  ];
  const more = count > failures.length ? `the newest ${failures.length} of ${number(count)}` : plural(count, "failure");
  return html`<section class="card" aria-labelledby="failures"><h2 id="failures">Failed within a day <small>${count > 0 && more}</small></h2>
    <${Table} caption="Failures of the last day" columns=${columns} rows=${failures} keyOf=${(row) => `${row.job_id}/${row.execution}`}
      empty="Nothing has failed within a day." /></section>`;
}

function FirstSteps({ hasWorkers }) {
  return html`<section class="card" aria-labelledby="first"><h2 id="first">First steps</h2>
    <p>There is nothing here yet. Say where the blocks of a chain come from, register a dataset, and deploy it:</p>
    <pre>${`cat > mainnet.toml <<'END'
kind = "evm-rpc"
network = "mainnet"
url = "https://your-node.example"
END
ampctl provider register mainnet mainnet.toml
ampctl manifest generate --kind evm-rpc --network mainnet --start-block 0 --out manifest.json
ampctl dataset register ethereum/mainnet manifest.json --tag 1.0.0
ampctl dataset deploy ethereum/mainnet@1.0.0`}</pre>
    <p>${hasWorkers ? "A worker is there: the job begins at once, and shows here." : html`Then start a worker: <code>ampd worker --node-id worker-01</code>`}</p>
  </section>`;
}
