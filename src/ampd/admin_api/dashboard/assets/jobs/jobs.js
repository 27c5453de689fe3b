/** All jobs: found by filters that the address holds, looked at in pages, and changed many at once. */
import { get } from "../core/api.js";
import { Action } from "../components/action.js";
import { Failure } from "../components/failure.js";
import { createHttpJob } from "./http-job.js";
import { criteria, readFilter, statusOf } from "./job-filter.js";
import { FilterFields, FilterTokens, Search, StateChoices } from "./job-filter-fields.js";
import { JobTable, sorted } from "./job-table.js";
import { Selection } from "./job-selection.js";
import { Pager } from "../components/table.js";
import { plural } from "../core/format.js";
import { html, useEffect, useRef, useState } from "../core/preact.js";
import { touchesJobs, useResource } from "../core/resource.js";
import { go, to } from "../core/router.js";

const PAGE = 100;
const NOTHING_CHOSEN = { ids: new Set(), isAll: false };

export default function Jobs({ query }) {
  const filter = readFilter(query);
  const before = query.get("before");
  const sort = { by: query.get("sort") ?? "id", order: query.get("order") ?? "desc" };
  const asked = { ...criteria(filter), status: statusOf(filter), limit: PAGE, last_job_id: before };
  const list = useResource((signal) => get("/jobs", asked, signal), [asked], touchesJobs);
  const stats = useResource((signal) => get("/jobs/stats", criteria(filter), signal), [criteria(filter)], touchesJobs);
  const shown = useLast(list);
  const [chosen, choose] = useChosen(filter);
  // `change`: of the filter, which begins at the first page again; the rest of the address stays.
  const show = (change, options) => go(address({ ...filter, ...sortOf(query), ...change }), options);
  return html`
    <div class="head"><h1>Jobs</h1><div class="actions"><a class="button" href=${to(["datasets"])}>Deploy a dataset</a>
      <${Action} kind="primary" onClick=${createHttpJob}>New http job<//></div></div>
    <${StateChoices} filter=${filter} stats=${stats.data} addressOf=${(state) => address({ ...filter, ...sortOf(query), state })} />
    <${Search} filter=${filter} show=${show} />
    <${FilterFields} filter=${filter} show=${show} />
    <${FilterTokens} filter=${filter} show=${show} />
    <${Failure} error=${stats.error} title="The counts are not up to date" retry=${stats.reload} />
    <${Failure} error=${list.error} title=${shown ? "This is not up to date" : "This could not be loaded"} retry=${list.reload} />
    ${shown === null && !list.error && html`<p class="loading" role="status">Loading …</p>`}
    ${shown !== null && html`<section class="card" aria-label="Jobs found" aria-busy=${list.data === null}>
      <${Selection} filter=${filter} jobs=${shown.jobs} chosen=${chosen} choose=${choose} more=${"next_cursor" in shown || before !== null} />
      <${JobTable} jobs=${sorted(shown.jobs, sort)} sort=${sort} chosen=${chosen} choose=${choose}
        sortBy=${(by, order) => go(address({ ...filter, before, sort: by, order }), { replace: true })} />
      <div class="foot"><${Count} shown=${shown} before=${before} />
      <${Pager} hasPrevious=${before !== null} hasNext=${"next_cursor" in shown}
        first=${() => show({})} next=${() => show({ before: shown.next_cursor })} /></div>
    </section>`}`;
}

function Count({ shown, before }) {
  const { jobs } = shown;
  if (jobs.length === 0) return null;
  const where = before !== null ? "on this page" : "next_cursor" in shown ? "on the first page, the newest first" : "in all";
  return html`<small>${plural(jobs.length, "job")} ${where}</small>`;
}

/** What was loaded last, also while another page or filter is loaded; nothing when that is refused. */
function useLast({ data, error }) {
  const last = useRef(null);
  if (data !== null) last.current = data;
  else if (error !== null) last.current = null;
  return last.current;
}

/** What is chosen belongs to a filter: with another one nothing is. */
function useChosen(filter) {
  const key = JSON.stringify(filter);
  const [state, set] = useState({ key, chosen: NOTHING_CHOSEN });
  useEffect(() => set((now) => (now.key === key ? now : { key, chosen: NOTHING_CHOSEN })), [key]);
  const chosen = state.key === key ? state.chosen : NOTHING_CHOSEN;
  return [chosen, (next) => set({ key, chosen: { ...NOTHING_CHOSEN, ...next } })];
}

function sortOf(query) {
  return { sort: query.get("sort"), order: query.get("order") };
}

function address({ state, label, ...rest }) {
  return to(["jobs"], { state: state.join(","), label, ...rest });
}
