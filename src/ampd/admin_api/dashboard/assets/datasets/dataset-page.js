/** One dataset: its versions, tables and jobs, and what can be done with it. */
import { get, path, request } from "../core/api.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { Loaded } from "../components/failure.js";
import { notice } from "../components/notices.js";
import { Crumbs, JobLink } from "../components/references.js";
import { Table } from "../components/table.js";
import { Ago, Time } from "../components/time.js";
import { number } from "../core/format.js";
import { html, useState } from "../core/preact.js";
import { touchesJobs, useResource } from "../core/resource.js";
import { to } from "../core/router.js";
import { DatasetActions } from "./dataset-actions.js";
import { Tables } from "./dataset-tables.js";

const JOBS_SHOWN = 20;

export default function Dataset({ namespace, name, query }) {
  const versions = useResource(
    (signal) => get(path("datasets", namespace, name, "versions"), {}, signal), [namespace, name], (change) => change.jobs === null);
  const title = html`<h1><bdi>${namespace}/${name}</bdi></h1>`;
  return html`
    <${Crumbs} way=${[["Datasets", to(["datasets"])], [namespace, to(["datasets"], { namespace })]]} />
    <${Loaded} resource=${versions}>${(data) => html`<${Known} data=${data} title=${title} wanted=${query.get("version")} reload=${versions.reload} />`}<//>
    ${versions.data === null && title}`;
}

function Known({ data, title, wanted, reload }) {
  const { latest, dev } = data.special_tags;
  const revision = wanted || latest || "dev";
  return html`
    <div class="head">
      ${title}
      <${DatasetActions} dataset=${data} revision=${revision} />
    </div>
    <div class="cards">
      <${Versions} data=${data} revision=${revision} reload=${reload} />
      <${Revision} key=${`${revision}@${dev}`} dataset=${data} revision=${revision} />
    </div>
    <${Tables} key=${`${revision}-tables`} dataset=${data} revision=${revision} />
    <${Jobs} dataset=${data} />`;
}

function Versions({ data, revision, reload }) {
  const { latest, dev } = data.special_tags;
  const address = (version) => to(["datasets", data.namespace, data.name], { version });
  const rows = [...data.versions];
  const isDevAlone = dev && !rows.some(({ manifest_hash: hash }) => hash === dev);
  if (isDevAlone) rows.unshift({ version: "dev", manifest_hash: dev, created_at: null });
  const tagsOf = ({ version, manifest_hash: hash }) => [version === latest && "latest", version !== "dev" && hash === dev && "dev"].filter(Boolean);
  const columns = [
    { title: "Version", heads: true, cell: ({ version }) => html`<a href=${address(version)} aria-current=${version === revision ? "true" : undefined}>${version}</a>${version === revision ? html` <small>shown</small>` : null}` },
    { title: "Tags", cell: (row) => html`<span class="badges">${tagsOf(row).map((tag) => html`<span class="tag">${tag}</span>`)}</span>` },
    { title: "Registered", cell: (row) => html`<${Time} at=${row.created_at} />` },
    { title: "", cell: (row) => row.version !== "dev" && html`<${Action} role="admin" whyNot=${row.version === latest ? "The latest version cannot be removed; remove the dataset." : null}
        onClick=${() => removeVersion(data, row.version, reload)}>Remove<span class="visually-hidden"> version ${row.version}</span><//>` },
  ];
  return html`<section class="card" aria-labelledby="versions">
    <h2 id="versions">Versions</h2>
    <${Table} caption="Versions" columns=${columns} rows=${rows} keyOf=${({ version }) => version} />
  </section>`;
}

function removeVersion({ namespace, name }, version, reload) {
  confirm({
    title: `Remove version ${version}`,
    text: html`<p>${namespace}/${name} forgets its version <strong>${version}</strong>. The manifest that it points at stays, and so do its jobs and files.</p>`,
    action: `Remove ${version}`,
    isDangerous: true,
    act: () => request("DELETE", path("datasets", namespace, name, "versions", version)),
  }).then((isDone) => {
    if (!isDone) return;
    notice(`Version ${version} of ${namespace}/${name} is removed.`);
    reload();
  });
}

function Revision({ dataset: { namespace, name }, revision }) {
  const shown = useResource((signal) => get(path("datasets", namespace, name, "versions", revision), {}, signal), [namespace, name, revision]);
  return html`<section class="card" aria-labelledby="revision">
    <h2 id="revision">${revision}</h2>
    <${Loaded} resource=${shown}>${(data) => html`
      <dl class="facts">
        <dt>Kind</dt><dd>${data.kind}</dd>
        <dt>First block</dt><dd>${number(data.start_block)}</dd>
        <dt>Blocks</dt><dd>${data.finalized_blocks_only ? "only final ones" : "up to the newest; reorgs are repaired"}</dd>
        <dt>Tables</dt><dd>${data.tables.join(", ")}</dd>
        <dt>Manifest</dt><dd><code class="hash">${data.manifest_hash}</code></dd>
      </dl>
      <${Manifest} namespace=${namespace} name=${name} hash=${data.manifest_hash} />`}<//>
  </section>`;
}

function Manifest({ namespace, name, hash }) {
  const [isOpen, open] = useState(false);
  return html`<details class="gap" onToggle=${(event) => open(event.target.open)}>
    <summary>The manifest as JSON</summary>
    ${isOpen && html`<${ManifestText} namespace=${namespace} name=${name} hash=${hash} />`}
  </details>`;
}

function ManifestText({ namespace, name, hash }) {
  const manifest = useResource((signal) => get(path("datasets", namespace, name, "versions", hash, "manifest"), {}, signal), [hash]);
  return html`<${Loaded} resource=${manifest}>${(data) => html`<pre class="manifest" tabindex="0" aria-label="Manifest">${JSON.stringify(data, null, 2)}</pre>`}<//>`;
}

function Jobs({ dataset: { namespace, name } }) {
  const dataset = `${namespace}/${name}`;
  const jobs = useResource((signal) => get("/jobs", { dataset, status: "all", limit: JOBS_SHOWN }, signal), [dataset], touchesJobs);
  const columns = [
    { title: "Job", heads: true, cell: (job) => html`<${JobLink} job=${job} />` },
    { title: "Kind", cell: ({ kind }) => kind },
    { title: "Version", cell: (job) => html`<span class="word">${job.dataset?.version ?? "–"}</span>` },
    { title: "Up to", cell: (job) => endOf(job) },
    { title: "Worker", cell: ({ worker_id: worker }) => (worker ? html`<a class="word" href=${to(["workers", worker])}><bdi>${worker}</bdi></a>` : "–") },
    { title: "Changed", cell: (job) => html`<${Ago} at=${job.updated_at_ms} />` },
  ];
  const all = html`<a href=${to(["jobs"], { dataset })}>All jobs of ${dataset}</a>`;
  return html`<section class="card" aria-labelledby="jobs">
    <h2 id="jobs">Jobs</h2>
    <${Loaded} resource=${jobs}>${(data) => html`
      <${Table} caption=${`Jobs of ${dataset}`} columns=${columns} rows=${data.jobs} keyOf=${({ id }) => id} empty="No job has worked on it yet: deploy it." />
      ${data.next_cursor ? html`<p class="gap">The newest ${JOBS_SHOWN} are shown. ${all}</p>` : null}`}<//>
  </section>`;
}

function endOf({ kind, end_block: end }) {
  if (kind !== "extraction") return "–";
  return end === null ? "follows the chain" : `block ${/^\d+$/.test(end) ? number(Number(end)) : end}`;
}

