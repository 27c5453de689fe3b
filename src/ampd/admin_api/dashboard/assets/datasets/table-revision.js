/** One revision of a table: its files, and what can be done with it. */
import { get, path } from "../core/api.js";
import { Loaded } from "../components/failure.js";
import { Crumbs } from "../components/references.js";
import { Pager, Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { bytes, number } from "../core/format.js";
import { html, useState } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { to } from "../core/router.js";
import { Activity } from "./dataset-tables.js";
import { RevisionActions } from "./revision-actions.js";

const FILES_PER_PAGE = 100;

export default function TableRevision({ namespace, name, id }) {
  const revision = useResource((signal) => get(path("revisions", id), {}, signal), [id], (change) => change.tables);
  return html`
    <${Crumbs} way=${[["Datasets", to(["datasets"])], [`${namespace}/${name}`, to(["datasets", namespace, name])]]} />
    <${Loaded} resource=${revision}>${(data) => html`<${Shown} dataset=${{ namespace, name }} revision=${data} reload=${revision.reload} />`}<//>
    ${revision.data === null && html`<h1>Revision ${id}</h1>`}`;
}

function Shown({ dataset, revision, reload }) {
  const { table_name: table, manifest_hash: hash, start_block: start } = revision.metadata;
  return html`
    <div class="head">
      <h1>Revision ${revision.id} of ${table}</h1>
      <${RevisionActions} dataset=${dataset} revision=${revision} reload=${reload} />
    </div>
    <section class="card" aria-label="Facts">
      <dl class="facts">
        <dt>State</dt><dd><${Activity} isActive=${revision.active} /> <small>${revision.active ? "readers of the table see it" : "nobody reads it"}</small></dd>
        <dt>Files</dt><dd>${number(revision.files_count)} with ${bytes(revision.total_size_bytes)}</dd>
        <dt>Written by</dt><dd>${revision.writer ? html`<a href=${to(["jobs", revision.writer])}>job #${revision.writer}</a>` : "no job"}</dd>
        <dt>Directory</dt><dd><code>${revision.path}</code></dd>
        <dt>First block</dt><dd>${number(start)}</dd>
        <dt>Manifest</dt><dd><code class="hash">${hash}</code></dd>
        <dt>Created</dt><dd><${Time} at=${revision.created_at} /></dd>
        <dt>Changed</dt><dd><${Time} at=${revision.updated_at} /></dd>
      </dl>
    </section>
    <${Files} id=${revision.id} count=${revision.files_count} />`;
}

function Files({ id, count }) {
  const [after, turn] = useState(null);
  const files = useResource(
    (signal) => get(path("revisions", id, "files"), { limit: FILES_PER_PAGE, after }, signal), [id, after], (change) => change.tables);
  const columns = [
    { title: "First block", kind: "number", heads: true, cell: ({ start_block: block }) => number(block) },
    { title: "Last block", kind: "number", cell: ({ end_block: block }) => number(block) },
    { title: "Rows", kind: "number", cell: ({ row_count: rows }) => number(rows) },
    { title: "Size", kind: "number", cell: ({ object_size: size }) => bytes(size) },
    { title: "Written", cell: ({ created_at: at }) => html`<${Time} at=${at} />` },
    { title: "File", cell: ({ file_name: file, url }) => html`<code title=${url}>${file}</code>` },
  ];
  return html`<section class="card" aria-labelledby="files">
    <h2 id="files">Files</h2>
    <${Loaded} resource=${files}>${(data) => html`
      <${Table} caption="Files" columns=${columns} rows=${data.files} keyOf=${(file) => file.id} empty=${count ? "No files on this page." : "It has no files."} />
      <${Pager} hasPrevious=${after !== null} hasNext=${data.next_cursor !== undefined} first=${() => turn(null)} next=${() => turn(data.next_cursor)} />`}<//>
  </section>`;
}
