/** All datasets: their versions, and the jobs at work on them. */
import { get } from "../core/api.js";
import { Loaded } from "../components/failure.js";
import { DatasetLink, JobLink } from "../components/references.js";
import { Table } from "../components/table.js";
import { number, plural } from "../core/format.js";
import { html } from "../core/preact.js";
import { touchesJobs, useResource } from "../core/resource.js";
import { go, to } from "../core/router.js";

const PER_PAGE = 50;
const VERSIONS_SHOWN = 3;
const JOBS_SHOWN = 3;
const MOST_JOBS = 500;

export default function Datasets({ query }) {
  const datasets = useResource((signal) => get("/datasets", {}, signal), [], (change) => change.jobs === null);
  return html`
    <div class="head">
      <h1>Datasets</h1>
      <div class="actions">
        <a class="button" href=${to(["datasets", "providers"])}>Providers</a>
        <a class="button" href=${to(["datasets", "register"])}>Register a dataset</a>
      </div>
    </div>
    <${Loaded} resource=${datasets}>${(data) => html`<${Found} all=${data.datasets} query=${query} />`}<//>`;
}

function Found({ all, query }) {
  const wanted = { namespace: query.get("namespace") ?? "", search: query.get("search") ?? "" };
  const change = (part) => go(to(["datasets"], { ...wanted, ...part }), { replace: true });
  const found = all.filter((dataset) => fits(dataset, wanted));
  const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  const page = Math.min(pages, Math.max(1, Number(query.get("page")) || 1));
  if (all.length === 0) return html`<${Empty} />`;
  return html`
    <${Filters} all=${all} wanted=${wanted} change=${change} />
    <section class="card">
      <p role="status">${found.length === all.length ? plural(all.length, "dataset") : `${number(found.length)} of ${plural(all.length, "dataset")}`}</p>
      <${List} datasets=${found.slice((page - 1) * PER_PAGE, page * PER_PAGE)} namespace=${wanted.namespace} />
      <${Pages} page=${page} pages=${pages} turn=${(next) => change({ page: next })} />
    </section>`;
}

function Empty() {
  return html`<section class="card">
    <h2>No dataset yet</h2>
    <p>A dataset says which network is extracted from which block on, and into which tables.</p>
    <ol>
      <li><a href=${to(["datasets", "providers"])}>Register a provider</a>: a node that the blocks come from.</li>
      <li><a href=${to(["datasets", "register"])}>Register a dataset</a> of its network.</li>
      <li>Deploy it: a job then extracts its blocks.</li>
    </ol>
  </section>`;
}

function Filters({ all, wanted, change }) {
  const namespaces = [...new Set(all.map(({ namespace }) => namespace))].sort();
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label>Namespace
      <select value=${wanted.namespace} onChange=${(event) => change({ namespace: event.target.value })}>
        <option value="">all</option>
        ${namespaces.map((name) => html`<option value=${name} selected=${name === wanted.namespace}>${name}</option>`)}
      </select>
    </label>
    <label>Name contains <input type="search" value=${wanted.search} onInput=${(event) => change({ search: event.target.value })} /></label>
  </form>`;
}

function fits(dataset, { namespace, search }) {
  const name = `${dataset.namespace}/${dataset.name}`;
  return (namespace === "" || dataset.namespace === namespace) && name.includes(search.trim().toLowerCase());
}

function List({ datasets, namespace }) {
  const jobs = useResource(
    (signal) => get("/jobs", { status: "active", dataset_namespace: namespace, limit: MOST_JOBS }, signal), [namespace], touchesJobs);
  const ofDataset = byDataset(jobs.data?.jobs ?? []);
  const isWhole = jobs.data !== null && !jobs.data.next_cursor;
  const columns = [
    { title: "Dataset", heads: true, cell: (one) => html`<${DatasetLink} ...${nameOf(one)} />` },
    { title: "Latest", cell: ({ latest_version: latest }) => latest || html`<small>only dev</small>` },
    { title: "Versions", cell: ({ versions }) => html`<${Versions} versions=${versions} />` },
    { title: "Active jobs", cell: (one) => html`<${Jobs} dataset=${one} jobs=${ofDataset.get(keyOf(one))} isWhole=${isWhole} />` },
    { title: "", cell: ({ namespace, name }) => html`<a href=${to(["datasets", namespace, name, "deploy"])}>Deploy<span class="visually-hidden"> ${namespace}/${name}</span></a>` },
  ];
  return html`<${Table} caption="Datasets" columns=${columns} rows=${datasets} keyOf=${keyOf} empty="No dataset fits the filter." />`;
}

function nameOf({ namespace, name }) {
  return { namespace, name };
}

function keyOf({ namespace, name }) {
  return `${namespace}/${name}`;
}

function byDataset(jobs) {
  const found = new Map();
  for (const job of jobs) {
    if (job.dataset === null) continue;
    const key = keyOf(job.dataset);
    found.set(key, [...(found.get(key) ?? []), job]);
  }
  return found;
}

function Versions({ versions }) {
  const more = versions.length - VERSIONS_SHOWN;
  return html`<span class="badges">
    ${versions.slice(0, VERSIONS_SHOWN).map((version) => html`<span class="tag">${version}</span>`)}
    ${more > 0 && html`<small>and ${number(more)} more</small>`}
  </span>`;
}

function Jobs({ dataset, jobs = [], isWhole }) {
  const all = to(["jobs"], { dataset: keyOf(dataset) });
  if (jobs.length === 0) return isWhole ? html`<small>none</small>` : html`<a href=${all}>see its jobs</a>`;
  return html`<span class="badges">
    ${jobs.slice(0, JOBS_SHOWN).map((job) => html`<${JobLink} key=${job.id} job=${job} />`)}
    ${jobs.length > JOBS_SHOWN && html`<a href=${all}>and ${number(jobs.length - JOBS_SHOWN)} more</a>`}
  </span>`;
}

function Pages({ page, pages, turn }) {
  if (pages === 1) return null;
  return html`<nav class="pager" aria-label="Pages">
    <button type="button" disabled=${page === 1} onClick=${() => turn(page - 1)}>‹ Previous page</button>
    <span>Page ${number(page)} of ${number(pages)}</span>
    <button type="button" disabled=${page === pages} onClick=${() => turn(page + 1)}>Next page ›</button>
  </nav>`;
}
