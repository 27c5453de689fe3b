/** Jobs as a table: sorted by its columns, chosen by check boxes. */
import { html, useEffect, useRef } from "../core/preact.js";
import { to } from "../core/router.js";
import { waiting } from "./job-rules.js";
import { State } from "../components/state.js";
import { Ago, Time } from "../components/time.js";

/** What a job is about, for people. @param {any} job */
export function nameOf(job) {
  if (job.dataset) return `${job.dataset.namespace}/${job.dataset.name}@${job.dataset.version}`;
  if (job.kind === "http") return `${job.input.method ?? "GET"} ${job.input.url}`;
  return job.kind;
}

const COLUMNS = [
  { id: "id", title: "Job", of: (job) => job.id, first: "desc" },
  { id: "state", title: "State", of: (job) => job.status },
  { id: "kind", title: "Kind", of: (job) => job.kind },
  { id: "about", title: "About", of: nameOf },
  { id: "worker", title: "Worker", of: (job) => job.worker_id ?? "" },
  { id: "retries", title: "Retries", of: (job) => job.total_retries, first: "desc", kind: "number" },
  { id: "created", title: "Created", of: (job) => job.created_at_ms, first: "desc" },
  { id: "updated", title: "Updated", of: (job) => job.updated_at_ms, first: "desc" },
];

/** Jobs in the order of a column; among equals the newest first. @param {any[]} jobs @param {{by: string, order: string}} sort */
export function sorted(jobs, { by, order }) {
  const { of } = COLUMNS.find(({ id }) => id === by) ?? COLUMNS[0];
  const sign = order === "asc" ? 1 : -1;
  return [...jobs].sort((one, other) => sign * compare(of(one), of(other)) || other.id - one.id);
}

function compare(one, other) {
  return typeof one === "number" ? one - other : one.localeCompare(other);
}

/** @param {{jobs: any[], sort: {by: string, order: string}, chosen: {ids: Set<number>, isAll: boolean}, choose: Function, sortBy: Function}} props */
export function JobTable({ jobs, sort, chosen, choose, sortBy }) {
  if (jobs.length === 0) return html`<p class="empty">No jobs are there that this filter lets through.</p>`;
  const toggle = (id, isOn) => {
    const ids = new Set(chosen.isAll ? jobs.map((job) => job.id) : chosen.ids);
    if (isOn) ids.add(id);
    else ids.delete(id);
    choose({ ids });
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Jobs">
    <table class="jobs">
      <caption class="visually-hidden">Jobs</caption>
      <thead><tr>
        <th scope="col"><${AllBox} jobs=${jobs} chosen=${chosen} choose=${choose} /></th>
        ${COLUMNS.map((column) => html`<${Heading} key=${column.id} column=${column} sort=${sort} sortBy=${sortBy} />`)}
      </tr></thead>
      <tbody>${jobs.map((job) => html`<${Row} key=${job.id} job=${job} isChosen=${chosen.isAll || chosen.ids.has(job.id)} toggle=${toggle} />`)}</tbody>
    </table>
  </div>`;
}

function Heading({ column: { id, title, kind, first = "asc" }, sort, sortBy }) {
  const isSorted = sort.by === id;
  const other = sort.order === "asc" ? "desc" : "asc";
  return html`<th scope="col" class=${kind} aria-sort=${isSorted ? (sort.order === "asc" ? "ascending" : "descending") : undefined}>
    <button type="button" class="sorter" onClick=${() => sortBy(id, isSorted ? other : first)}>${title}
      <span aria-hidden="true">${isSorted ? (sort.order === "asc" ? "▲" : "▼") : "↕"}</span></button>
  </th>`;
}

/** Chooses all jobs of the page, or none. */
function AllBox({ jobs, chosen, choose }) {
  const box = useRef(null);
  const count = chosen.isAll ? jobs.length : jobs.filter(({ id }) => chosen.ids.has(id)).length;
  useEffect(() => {
    box.current.indeterminate = count > 0 && count < jobs.length;
  });
  const change = (event) => {
    const ids = new Set(chosen.isAll ? [] : chosen.ids);
    for (const { id } of jobs) {
      if (event.target.checked) ids.add(id);
      else ids.delete(id);
    }
    choose({ ids });
  };
  return html`<input ref=${box} type="checkbox" aria-label="Select all jobs of this page" checked=${count === jobs.length} onChange=${change} />`;
}

function Row({ job, isChosen, toggle }) {
  const waits = waiting(job);
  return html`<tr class=${isChosen ? "chosen" : ""}>
    <td><input type="checkbox" aria-label=${`Select job ${job.id}`} checked=${isChosen} onChange=${(event) => toggle(job.id, event.target.checked)} /></td>
    <th scope="row"><a href=${to(["jobs", job.id])}>${job.id}</a></th>
    <td><${State} state=${job.status} />${waits && html` <small class="cut" title=${`waits for ${waits}`}>waits for ${waits}</small>`}
      ${job.stop_intent === "PAUSE" && html` <small>is being paused</small>`}</td>
    <td><bdi>${job.kind}</bdi>${job.recurring && html` <small title="It has a timetable">⟳<span class="visually-hidden">with a timetable</span></small>`}</td>
    <td class="about"><${About} job=${job} /></td>
    <td>${job.worker_id ? html`<a href=${to(["workers", job.worker_id])}><bdi>${job.worker_id}</bdi></a>` : "–"}</td>
    <td class="number">${job.total_retries}</td>
    <td><${Time} at=${job.created_at_ms} /></td>
    <td><${Ago} at=${job.updated_at_ms} /></td>
  </tr>`;
}

function About({ job }) {
  const name = nameOf(job);
  const shown = job.dataset
    ? html`<a href=${to(["datasets", job.dataset.namespace, job.dataset.name])}><bdi>${name}</bdi></a>`
    : name === job.kind ? "–" : html`<bdi>${name}</bdi>`;
  return html`<span class="name">${shown}</span>${job.status !== "COMPLETED" && job.last_error && html`<small class="cut" title=${job.last_error.error_message}>${job.last_error.error_code}: ${job.last_error.error_message}</small>`}`;
}
