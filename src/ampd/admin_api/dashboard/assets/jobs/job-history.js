/** The executions of a job, with their attempts and errors. */
import { get, path } from "../core/api.js";
import { duration, number, plural } from "../core/format.js";
import { html, useState } from "../core/preact.js";
import { touchesJob, useResource } from "../core/resource.js";
import { to } from "../core/router.js";
import { Loaded } from "../components/failure.js";
import { Json } from "../components/json.js";
import { State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Time } from "../components/time.js";

const STEP = 20;
const MOST = 1000;
// Outcomes that are no states of jobs.
const OUTCOMES = { RETRYING: { tone: "warning", sign: "↻" }, LOST: { tone: "warning", sign: "⚠" }, HANDED_BACK: { tone: "calm", sign: "↩" } };

/** @param {{job: any}} props */
export function JobHistory({ job }) {
  const [limit, showMore] = useState(STEP);
  const history = useResource((signal) => get(path("jobs", job.id, "history"), { limit }, signal), [job.id, limit], touchesJob(job.id));
  return html`<section class="card"><h2>Executions</h2>
    <${Loaded} resource=${history}>${(data) => html`
      ${data.total_executions === 0 && html`<p class="empty">None has begun yet.</p>`}
      ${data.total_executions > 0 && html`<p>${plural(data.total_executions, "execution")}: ${number(data.successful_executions)} completed, ${number(data.failed_executions)} failed.</p>`}
      ${data.executions.map((each, index) => html`<${Execution} key=${each.number} execution=${each} isOpen=${index === 0} result=${job.result} />`)}
      ${data.executions.length === limit && limit < MOST && html`<button type="button" onClick=${() => showMore(Math.min(MOST, limit * 4))}>Show more</button>`}`}
    <//>
  </section>`;
}

function Execution({ execution, isOpen }) {
  const { number: which, status, attempts, attempt_count: count, error_detail: error } = execution;
  return html`<details class="execution" open=${isOpen}>
    <summary><span class="line"><b>Execution ${which}</b> <${State} state=${status.toUpperCase()} />
      <span><${Time} at=${execution.started_at_ms} />${execution.duration_ms !== null && html` · took ${duration(execution.duration_ms / 1000)}`} · ${plural(count, "attempt")}</span></span></summary>
    ${error && html`<div class="failure"><p>${error.error_message} <code>${error.error_code}</code></p><${Context} error=${error} /></div>`}
    <${Table} caption=${`Attempts of execution ${which}`} rows=${attempts} keyOf=${(each) => each.number} empty="No attempt." columns=${COLUMNS} />
    ${count > attempts.length && html`<small>The newest ${number(attempts.length)} of ${number(count)} attempts.</small>`}
    ${execution.result !== null && html`<details><summary>Result</summary><${Json} value=${execution.result} label=${`Result of execution ${which}`} /></details>`}
  </details>`;
}

const COLUMNS = [
  { title: "Attempt", heads: true, cell: (each) => each.number },
  { title: "Outcome", cell: ({ outcome }) => (outcome === null ? html`<${State} state="RUNNING" />` : html`<${State} state=${outcome} ...${OUTCOMES[outcome]} />`) },
  { title: "Worker", cell: ({ worker_id: id }) => html`<a href=${to(["workers", id])}><bdi>${id}</bdi></a>` },
  { title: "Started", cell: (each) => html`<${Time} at=${each.started_at_ms} />` },
  { title: "Took", kind: "number", cell: (each) => duration(tookSeconds(each)) },
  { title: "Error", cell: ({ error }) => error && html`<span class="long">${error.error_message} <code>${error.error_code}</code></span><${Context} error=${error} />` },
];

function Context({ error }) {
  if (!error.error_context) return null;
  return html`<details><summary>Details</summary><${Json} value=${error.error_context} label="Details of the error" /></details>`;
}

function tookSeconds({ started_at_ms: from, completed_at_ms: to }) {
  return from === null || to === null ? null : (to - from) / 1000;
}
