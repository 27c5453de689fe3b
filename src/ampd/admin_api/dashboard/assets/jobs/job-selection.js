/** What is done to many jobs at once: to those that are chosen, or to all that the filter lets through. */
import { plural } from "../core/format.js";
import { html } from "../core/preact.js";
import { Action } from "../components/action.js";
import { selectionOf } from "./job-filter.js";
import { operateOnMany, OPERATIONS } from "./job-operations.js";
import { whyNotNow } from "./job-rules.js";

const MOST_IDS = 10_000;
const SHOWN_REFUSALS = 10;

/**
 * @param {{filter: import("./job-filter.js").Filter, jobs: any[], chosen: {ids: Set<number>, isAll: boolean}, choose: Function, more: boolean}} props
 *   `more`: there are jobs on other pages
 */
export function Selection({ filter, jobs, chosen, choose, more }) {
  const count = chosen.ids.size;
  const none = !chosen.isAll && count === 0 ? "Select jobs first." : null;
  const words = chosen.isAll ? "All jobs that match the filter are selected" : count === 0 ? "No job is selected" : `${plural(count, "job")} selected`;
  const tooMany = count > MOST_IDS ? `No more than ${MOST_IDS} jobs can be named at once: select all that match a filter.` : null;
  const ask = async (operation) => {
    const which = chosen.isAll ? "all jobs that match the filter" : plural(count, "selected job");
    const selection = chosen.isAll ? selectionOf(filter) : { status: "all", job_ids: [...chosen.ids] };
    const refusals = chosen.isAll ? null : html`<${Refusals} operation=${operation} jobs=${jobs.filter(({ id }) => chosen.ids.has(id))} />`;
    const isDone = await operateOnMany(operation, selection, which, refusals);
    if (isDone && operation === "delete") choose({});
  };
  return html`<div class="selection" role="toolbar" aria-label="What to do with the selected jobs">
    <span role="status">${words}</span>
    ${more && !chosen.isAll && html`<button type="button" class="plain" onClick=${() => choose({ isAll: true })}>Select all that match the filter</button>`}
    ${none === null && html`<button type="button" class="plain" onClick=${() => choose({})}>Clear the selection</button>`}
    <span class="buttons">${Object.entries(OPERATIONS).map(([operation, { title, isDangerous }]) => html`<${Action} key=${operation} kind=${isDangerous ? "danger" : ""}
      whyNot=${none ?? tooMany} onClick=${() => ask(operation)}>${title}…<//>`)}</span>
  </div>`;
}

/** Which of the shown jobs are not in the state for it, and why. */
function Refusals({ operation, jobs }) {
  const refused = jobs.map((job) => ({ job, reason: whyNotNow(operation, job) })).filter(({ reason }) => reason !== null);
  if (refused.length === 0) return null;
  const rest = refused.length - SHOWN_REFUSALS;
  return html`<details open=${refused.length <= 3}><summary>${plural(refused.length, "job")} not in a state for it</summary>
    <ul>${refused.slice(0, SHOWN_REFUSALS).map(({ job, reason }) => html`<li key=${job.id}>Job ${job.id}: ${reason}</li>`)}
      ${rest > 0 && html`<li>and ${plural(rest, "more job")}</li>`}</ul>
  </details>`;
}
