/** One worker: what it is, and what it has in hand. */
import { get, path } from "../core/api.js";
import { Loaded } from "../components/failure.js";
import { Crumbs, DatasetLink, JobLink } from "../components/references.js";
import { State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Ago, Time } from "../components/time.js";
import { DrainAction, Slots, useHeartbeats, WorkerState } from "./worker-parts.js";
import { number } from "../core/format.js";
import { html } from "../core/preact.js";
import { touchesJobs, useResource } from "../core/resource.js";
import { to } from "../core/router.js";

const LAST_SHOWN = 20;
const MOST_IN_HAND = 200;

export default function Worker({ rest: [id] }) {
  const worker = useResource((signal) => get(path("workers", id), {}, signal), [id], (change) => change.workers || change.tables || touchesJobs(change));
  useHeartbeats(worker.reload);
  const title = html`<h1><bdi>${id}</bdi></h1>`;
  return html`
    <${Crumbs} way=${[["Workers", to(["workers"])]]} />
    <${Loaded} resource=${worker}>${(data) => html`
      <div class="head">${title}<div class="actions"><${DrainAction} worker=${data} reload=${worker.reload} /></div></div>
      <${Facts} worker=${data} />
      <${Ranges} ranges=${data.ranges} />
      <${InHand} id=${id} />
      <${Last} id=${id} />`}<//>
    ${worker.data === null && title}`;
}

function Facts({ worker }) {
  const { info } = worker;
  return html`<section class="card" aria-label="Facts">
    <dl class="facts">
      <dt>State</dt><dd><${WorkerState} worker=${worker} /></dd>
      <dt>Heartbeat</dt><dd><${Ago} at=${worker.heartbeat_at} /></dd>
      <dt>Running jobs of slots</dt><dd><${Slots} used=${worker.running_jobs} slots=${worker.slots} /></dd>
      <dt>Version</dt><dd>${info.version}${info.commit_sha !== "unknown" && html` <code class="hash">${info.commit_sha}</code>`}</dd>
      <dt>Kinds of jobs</dt><dd>${worker.kinds.length > 0 ? worker.kinds.join(", ") : "it does not say"}</dd>
      <dt>Started</dt><dd><${Time} at=${worker.registered_at} /></dd>
      <dt>First seen</dt><dd><${Time} at=${worker.created_at} /></dd>
    </dl>
  </section>`;
}

function Ranges({ ranges }) {
  const columns = [
    { title: "Blocks", heads: true, cell: ({ start_block: start, end_block: end }) => html`<span class="nowrap">${number(start)} – ${number(end)}</span>` },
    { title: "State", cell: ({ state }) => html`<${State} state=${state} tone="busy" sign=${state === "WRITING" ? "✎" : "⇣"} />` },
    { title: "Job", cell: ({ job_id: job }) => html`<a href=${to(["jobs", job])}>#${job}</a>` },
    { title: "Dataset", cell: ({ dataset }) => html`<${DatasetLink} ...${dataset} />` },
    { title: "Since", cell: ({ leased_at: at }) => html`<${Ago} at=${at} />` },
  ];
  return html`<section class="card" aria-labelledby="ranges">
    <h2 id="ranges">Ranges in hand</h2>
    <${Table} caption="Ranges in hand" columns=${columns} rows=${ranges} keyOf=${({ job_id: job, start_block: start }) => `${job}/${start}`} empty="No range of blocks is in its hands." />
  </section>`;
}

function InHand({ id }) {
  const jobs = useResource((signal) => get("/jobs", { worker_id: id, status: "active", limit: MOST_IN_HAND }, signal), [id], touchesJobs);
  return html`<${Jobs} title="Jobs in hand" jobs=${jobs} id=${id} empty="No job is in its hands." />`;
}

function Last({ id }) {
  const jobs = useResource((signal) => get("/jobs", { worker_id: id, status: "terminal", limit: LAST_SHOWN }, signal), [id], touchesJobs);
  return html`<${Jobs} title="Jobs that ended here" jobs=${jobs} id=${id} empty="No job has ended here." />`;
}

function Jobs({ title, jobs, id, empty }) {
  const columns = [
    { title: "Job", heads: true, cell: (job) => html`<${JobLink} job=${job} />` },
    { title: "Kind", cell: ({ kind }) => kind },
    { title: "Dataset", cell: ({ dataset }) => (dataset ? html`<${DatasetLink} namespace=${dataset.namespace} name=${dataset.name} />` : "–") },
    { title: "Changed", cell: (job) => html`<${Ago} at=${job.updated_at_ms} />` },
  ];
  const label = title.toLowerCase().replaceAll(" ", "-");
  return html`<section class="card" aria-labelledby=${label}>
    <h2 id=${label}>${title}</h2>
    <${Loaded} resource=${jobs}>${(data) => html`
      <${Table} caption=${title} columns=${columns} rows=${data.jobs} keyOf=${(job) => job.id} empty=${empty} />
      ${data.next_cursor ? html`<p class="gap"><a href=${to(["jobs"], { worker_id: id })}>All jobs of this worker</a></p>` : null}`}<//>
  </section>`;
}
