/** The tables of a version of a dataset: what the lake has of them. */
import { get, path } from "../core/api.js";
import { Loaded } from "../components/failure.js";
import { State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { bytes, number, plural } from "../core/format.js";
import { html } from "../core/preact.js";
import { touchesJobs, useResource } from "../core/resource.js";
import { to } from "../core/router.js";

const MOST_REVISIONS = 1000;

/** @param {{dataset: {namespace: string, name: string}, revision: string}} props */
export function Tables({ dataset, revision }) {
  const { namespace, name } = dataset;
  const tables = useResource(
    (signal) => loadTables(namespace, name, revision, signal), [namespace, name, revision], (change) => change.tables || touchesJobs(change));
  return html`<section class="card" aria-labelledby="tables">
    <h2 id="tables">Tables of ${revision}</h2>
    <${Loaded} resource=${tables}>${(data) => html`<${Active} dataset=${dataset} data=${data} /><${Inactive} dataset=${dataset} revisions=${data.inactive} />`}<//>
  </section>`;
}

/** What the lake has: revisions of this manifest, and what the job that extracts it says of its tables. */
async function loadTables(namespace, name, revision, signal) {
  const at = path("datasets", namespace, name, "versions", revision);
  const [{ manifest_hash: hash, tables }, all, { jobs }] = await Promise.all([
    get(at, {}, signal),
    get("/revisions", { dataset: `${namespace}/${name}`, limit: MOST_REVISIONS }, signal),
    get(`${at}/jobs`, {}, signal),
  ]);
  const job = jobs.find(({ kind }) => kind === "extraction");
  const progress = job ? (await get(path("jobs", job.id, "progress"), {}, signal)).tables : {};
  const own = all.filter(({ metadata }) => metadata.manifest_hash === hash);
  const rows = tables.map((table) => ({
    table,
    revision: own.find((one) => one.active && one.metadata.table_name === table) ?? null,
    progress: progress[table] ?? null,
  }));
  return { rows, job: job ?? null, inactive: own.filter(({ active }) => !active), isCut: all.length === MOST_REVISIONS };
}

/** The address of a revision's page. */
export function revisionAddress({ namespace, name }, id) {
  return to(["datasets", namespace, name, "revisions", id]);
}

function Active({ dataset, data }) {
  const columns = [
    { title: "Table", heads: true, cell: ({ table }) => table },
    { title: "Active revision", cell: ({ revision }) => (revision ? html`<a href=${revisionAddress(dataset, revision.id)}>revision ${revision.id}</a>` : html`<small>none yet</small>`) },
    { title: "Front block", kind: "number", cell: ({ progress }) => number(progress?.current_block) },
    { title: "Rows", kind: "number", cell: ({ progress }) => number(progress?.row_count) },
    { title: "Files", kind: "number", cell: ({ revision }) => number(revision?.files_count) },
    { title: "Size", kind: "number", cell: ({ revision }) => bytes(revision?.total_size_bytes) },
  ];
  const total = data.rows.reduce((sum, { revision }) => sum + (revision?.total_size_bytes ?? 0), 0);
  const files = data.rows.reduce((sum, { revision }) => sum + (revision?.files_count ?? 0), 0);
  return html`
    <${Table} caption="Tables" columns=${columns} rows=${data.rows} keyOf=${({ table }) => table} />
    <p class="gap"><small>${plural(files, "file")} with ${bytes(total)} in all.${" "}
      ${data.job === null ? "Front block and rows are known once a job extracts this version." : "The front block is the last one of all that hang together from the dataset's first block on."}
      ${data.isCut && ` Only the newest ${number(MOST_REVISIONS)} revisions were looked at.`}</small></p>`;
}

function Inactive({ dataset, revisions }) {
  if (revisions.length === 0) return null;
  const columns = [
    { title: "Revision", heads: true, cell: ({ id }) => html`<a href=${revisionAddress(dataset, id)}>revision ${id}</a>` },
    { title: "Table", cell: ({ metadata }) => metadata.table_name },
    { title: "Files", kind: "number", cell: ({ files_count: files }) => number(files) },
    { title: "Size", kind: "number", cell: ({ total_size_bytes: size }) => bytes(size) },
    { title: "Changed", cell: ({ updated_at: at }) => html`<${Time} at=${at} />` },
  ];
  return html`<details>
    <summary>${plural(revisions.length, "inactive revision")}</summary>
    <${Table} caption="Inactive revisions" columns=${columns} rows=${revisions} keyOf=${({ id }) => id} />
  </details>`;
}

/** Whether readers see a revision. @param {{isActive: boolean}} props */
export function Activity({ isActive }) {
  return isActive ? html`<${State} state="ACTIVE" tone="good" sign="✓" />` : html`<${State} state="INACTIVE" tone="calm" sign="○" />`;
}
