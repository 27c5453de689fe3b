/** One job: what it is, how far it is, what has become of it, and what can be done with it. */
import { ApiError, get, path } from "../core/api.js";
import { Failure } from "../components/failure.js";
import { JobActions } from "./job-actions.js";
import { JobEvents } from "./job-events.js";
import { JobFacts } from "./job-facts.js";
import { JobHistory } from "./job-history.js";
import { JobProgress } from "./job-progress.js";
import { hasEnded } from "./job-rules.js";
import { nameOf } from "./job-table.js";
import { JobTimeline } from "./job-timeline.js";
import { JobTimetable } from "./job-timetable.js";
import { Json } from "../components/json.js";
import { RangeMap, windowOf } from "./range-map.js";
import { State } from "../components/state.js";
import { useEvents } from "../core/events.js";
import { html, useRef } from "../core/preact.js";
import { touchesJob, useResource } from "../core/resource.js";
import { to } from "../core/router.js";

export default function JobPage({ rest: [text], query }) {
  const id = /^\d{1,18}$/.test(text) ? Number(text) : null;
  if (id === null) return html`<h1>Job</h1><${Failure} title="There is no such job" error=${new ApiError(400, "INVALID_JOB_ID", `“${text}” is no id of a job: want a number.`)} />`;
  return html`<${OneJob} key=${id} id=${id} query=${query} />`;
}

function OneJob({ id, query }) {
  const job = useResource((signal) => get(path("jobs", id), {}, signal), [id], touchesJob(id));
  const events = useEvents(id);
  const isGone = job.error?.code === "JOB_NOT_FOUND";
  if (job.data === null && !isGone) {
    return html`<h1>Job ${id}</h1><${Failure} error=${job.error} retry=${job.reload} title="This could not be loaded" />
      ${!job.error && html`<p class="loading" role="status">Loading …</p>`}`;
  }
  if (job.data === null) return html`<${Missing} id=${id} events=${events} />`;
  return html`
    <${Head} job=${job.data} isGone=${isGone} reload=${job.reload} />
    ${isGone
      ? html`<div class="failure" role="alert"><p><strong>This job has been removed.</strong> What is shown is what was known last; its events stay for a while. <a href=${to(["jobs"])}>Back to the jobs</a></p></div>`
      : html`<${Failure} error=${job.error} retry=${job.reload} title="This is not up to date" />`}
    <${Parts} job=${job.data} isGone=${isGone} events=${events} query=${query} />`;
}

function Parts({ job, isGone, events, query }) {
  const isExtraction = job.kind === "extraction";
  return html`
    <${JobTimeline} job=${job} events=${events} />
    ${!isGone && (isExtraction ? html`<${OfTables} job=${job} query=${query} />` : html`<${OfItself} job=${job} />`)}
    <div class="cards wide">
      <${JobFacts} job=${job} events=${events} />
      ${!isGone && html`<${JobTimetable} job=${job} />`}
    </div>
    ${!isGone && html`<${JobHistory} job=${job} />`}
    <${JobEvents} events=${events} />
    <section class="card"><h2>Input</h2><${Json} value=${job.input} label="Input of the job" /></section>
    ${job.result !== null && html`<section class="card"><h2>Result</h2><${Json} value=${job.result} label="Result of the job" /></section>`}`;
}

function OfTables({ job, query }) {
  const progress = useProgress(job);
  const part = windowOf(query);
  const wanted = part === null ? {} : { start_block: part.start, end_block: part.end };
  const ranges = useResource((signal) => get(path("jobs", job.id, "ranges"), wanted, signal), [job.id, wanted], touchesTablesOf(job.id));
  const head = useRef(null);
  head.current = ranges.data?.head_block ?? head.current;
  return html`<${JobProgress} job=${job} progress=${progress} head=${head.current} /><${RangeMap} job=${job} query=${query} ranges=${ranges} progress=${progress} />`;
}

function OfItself({ job }) {
  return html`<${JobProgress} job=${job} progress=${useProgress(job)} head=${null} />`;
}

function useProgress({ id }) {
  return useResource((signal) => get(path("jobs", id, "progress"), {}, signal), [id], touchesTablesOf(id));
}

function touchesTablesOf(id) {
  const touches = touchesJob(id);
  return (change) => change.tables || touches(change);
}

function Head({ job, isGone, reload }) {
  const { dataset } = job;
  const name = nameOf(job);
  return html`<div class="job-head">
    <p class="crumbs"><a href=${to(["jobs"])}>Jobs</a> <span aria-hidden="true">/</span></p>
    <h1>Job ${job.id} <${State} state=${job.status} /></h1>
    <p class="about">${dataset
      ? html`<a href=${to(["datasets", dataset.namespace, dataset.name])}><bdi>${name}</bdi></a>`
      : html`<bdi>${name}</bdi>`} <small>${name === job.kind ? "" : job.kind}</small></p>
    <${Why} job=${job} />
    <${JobActions} job=${job} isGone=${isGone} reload=${reload} />
  </div>`;
}

/** What somebody who sees the state wants to know next. */
function Why({ job }) {
  const { last_error: error, stop_reason: reason } = job;
  return html`
    ${reason && html`<p>Reason given: <q><bdi>${reason}</bdi></q></p>`}
    ${error && job.status !== "COMPLETED" && html`<div class=${job.status === "FAILED" ? "failure" : "failure mild"}>
      <p><strong>${job.status === "FAILED" ? "It failed." : hasEnded(job) ? "Its last error." : "Its last error, after which it goes on."}</strong>
      ${" "}${error.error_message} <code>${error.error_code}</code></p></div>`}`;
}

function Missing({ id, events }) {
  return html`<h1>Job ${id}</h1>
    <${Failure} title="There is no such job" error=${new ApiError(404, "JOB_NOT_FOUND", `Job ${id} is not here: it was never created, has been removed, or is of a namespace that you do not see.`)} />
    <p><a href=${to(["jobs"])}>Back to the jobs</a></p>
    ${events.data?.list.length > 0 && html`<${JobEvents} events=${events} />`}`;
}
