/** What a job is. */
import { number } from "../core/format.js";
import { html } from "../core/preact.js";
import { to } from "../core/router.js";
import { waiting } from "./job-rules.js";
import { State } from "../components/state.js";
import { Ago, Time } from "../components/time.js";

/** @param {{job: any, events: any}} props */
export function JobFacts({ job, events }) {
  const waits = waiting(job);
  const lease = events.data?.list[0];
  const rows = [
    ["Kind", html`<bdi>${job.kind}</bdi>`],
    ["Worker", job.worker_id ? html`<a href=${to(["workers", job.worker_id])}><bdi>${job.worker_id}</bdi></a>` : "none"],
    waits && ["Waits for", html`${waits}${["run_at", "retry"].includes(job.waiting_for) && html`, <${Ago} at=${job.scheduled_at_ms} />`}`],
    ["Priority", number(job.priority)],
    job.dataset && ["Parallelism", number(job.parallelism)],
    job.dataset && ["Manifest", html`<code>${job.manifest_hash}</code>`],
    ["Execution", `${number(job.execution_number)}${job.execution_count > 1 ? ` (${number(job.execution_count)} have begun)` : ""}`],
    ["Retries", `${number(job.retry_count)} since it last got on, ${number(job.total_retries)} in all; ${job.retries === null ? "no limit" : `limit ${number(job.retries)}`}`],
    lease && ["Lease", `epoch ${number(lease.lease_epoch)}${lease.node_id ? ` (${lease.node_id})` : ""}`],
    ["Created", html`<${Time} at=${job.created_at_ms} />`],
    job.started_at && ["Started", html`<${Time} at=${job.started_at_ms} />`],
    job.completed_at && ["Ended", html`<${Time} at=${job.completed_at_ms} />`],
    ["Updated", html`<${Ago} at=${job.updated_at_ms} />`],
    ["Labels", html`<${Labels} labels=${job.labels} />`],
    ["Depends on", html`<${DependsOn} all=${job.depends_on} />`],
  ].filter(Boolean);
  return html`<section class="card"><h2>Facts</h2>
    <dl class="facts">${rows.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl></section>`;
}

function Labels({ labels }) {
  const pairs = Object.entries(labels);
  if (pairs.length === 0) return "none";
  return html`<ul class="plain-list">${pairs.map(([key, value]) => html`<li key=${key}><a href=${to(["jobs"], { label: `${key}=${value}` })}><bdi>${key}=${value}</bdi></a></li>`)}</ul>`;
}

function DependsOn({ all }) {
  if (all.length === 0) return "nothing";
  return html`<ul class="plain-list">${all.map((each) => html`<li key=${each.reference}>
    ${each.job_id === null ? html`<bdi>${each.reference}</bdi>` : html`<a href=${to(["jobs", each.job_id])}><bdi>${each.reference}</bdi></a>`}
    ${" "}${each.status === null ? html`<small>there is no such job</small>` : html`<${State} state=${each.status} />`}</li>`)}</ul>`;
}
