/** How far a job is: per table, what a verification has found, or what another handler says of itself. */
import { bytes, duration, number, percent, plural, rate } from "../core/format.js";
import { html } from "../core/preact.js";
import { Loaded } from "../components/failure.js";
import { Json } from "../components/json.js";
import { Table } from "../components/table.js";

const SHOWN_GAPS = 20;

/** @param {{job: any, progress: any, head: number | null}} props `progress`: a resource; `head`: newest block of the chain, where it is known */
export function JobProgress({ job, progress, head }) {
  return html`<${Loaded} resource=${progress}>${(data) => {
    if (job.kind === "extraction") return html`<${Extraction} data=${data} head=${head} />`;
    if (data.verification) return html`<${Verification} data=${data} />`;
    if (data.progress && Object.keys(data.progress).length > 0) return html`<section class="card"><h2>Progress</h2><${Json} value=${data.progress} label="What the job says of its progress" /></section>`;
    return null;
  }}<//>`;
}

function Extraction({ data, head }) {
  const rows = Object.entries(data.tables).map(([table, of]) => ({ table, ...of, gaps: data.gaps[table] ?? [] }));
  const end = data.end_block ?? head;
  const figures = [
    ["Blocks per second", rate(data.blocks_per_second)],
    ["Time left", data.end_block === null ? "follows the chain" : duration(data.eta_seconds)],
    ["End block", data.end_block === null ? "none" : number(data.end_block)],
    ["Head of the chain", number(head)],
    ["Rows", number(rows.reduce((sum, { row_count: rows }) => sum + rows, 0))],
    ["Size", bytes(rows.reduce((sum, { total_size_bytes: size }) => sum + size, 0))],
  ];
  return html`<section class="card" aria-label="Progress"><h2>Progress</h2>
    <${Figures} figures=${figures} />
    <${Table} caption="Progress of the tables" rows=${rows} keyOf=${({ table }) => table} empty="It has no tables yet." columns=${columnsOf(end, data.gaps_truncated)} />
  </section>`;
}

function columnsOf(end, isTruncated) {
  return [
    { title: "Table", heads: true, cell: ({ table }) => html`<bdi>${table}</bdi>` },
    { title: "Done", cell: (row) => html`<${Bar} row=${row} end=${end} />` },
    { title: "Front", kind: "number", cell: (row) => number(row.current_block) },
    { title: "End", kind: "number", cell: () => number(end) },
    { title: "Rows", kind: "number", cell: (row) => number(row.row_count) },
    { title: "Size", kind: "number", cell: (row) => bytes(row.total_size_bytes) },
    { title: "Files", kind: "number", cell: (row) => number(row.files_count) },
    { title: "Gaps", cell: ({ gaps }) => html`<${Gaps} gaps=${gaps} isTruncated=${isTruncated} />` },
  ];
}

/** From the table's first block to the end, or to the head of the chain when there is none. */
function Bar({ row: { table, start_block: start, current_block: front }, end }) {
  if (start === null || front === null) return html`<small>not begun</small>`;
  if (end === null || end === undefined) return html`<small>to block ${number(front)}</small>`;
  const all = Math.max(1, end - start + 1);
  const done = Math.min(all, front - start + 1);
  return html`<span class="bar"><progress max=${all} value=${done} aria-label=${`${table}: done`}></progress> ${percent(done / all)}</span>`;
}

function Gaps({ gaps, isTruncated }) {
  if (gaps.length === 0) return "none";
  return html`<details><summary>${plural(gaps.length, "gap")}${isTruncated && gaps.length >= 100 ? " or more" : ""}</summary>
    <ul class="plain-list">${gaps.slice(0, SHOWN_GAPS).map(([from, to]) => html`<li key=${from}>${number(from)} to ${number(to)}</li>`)}
      ${gaps.length > SHOWN_GAPS && html`<li>and ${number(gaps.length - SHOWN_GAPS)} more</li>`}</ul></details>`;
}

function Verification({ data: { verification: found, blocks_per_second: speed, eta_seconds: left } }) {
  const all = Math.max(1, found.end_block - found.start_block + 1);
  const done = found.next_block - found.start_block;
  const figures = [
    ["Verified blocks", number(found.verified_blocks)],
    ["Broken blocks", number(found.broken_blocks)],
    ["Unreadable blocks", number(found.skipped_blocks)],
    ["Violations", number(found.violation_count)],
    ["Blocks per second", rate(speed)],
    ["Time left", duration(left)],
  ];
  return html`<section class="card" aria-label="Verification"><h2>Verification of blocks ${number(found.start_block)} to ${number(found.end_block)}</h2>
    <p class="bar"><progress max=${all} value=${done} aria-label="Verified"></progress> ${percent(done / all)}</p>
    <${Figures} figures=${figures} />
    ${found.violation_count > 0 && html`<h3>Violations${found.violation_count > found.violations.length && html` <small>the first ${found.violations.length}</small>`}</h3>
      <${Table} caption="Violations" rows=${found.violations} keyOf=${(each) => `${each.block}/${each.commitment}/${each.row ?? ""}`} columns=${VIOLATIONS} />`}
    ${found.not_checked.length > 0 && html`<h3>Not checked</h3>
      <${Table} caption="What could not be checked" rows=${found.not_checked} keyOf=${(each) => `${each.commitment}/${each.reason}`} columns=${NOT_CHECKED} />`}
  </section>`;
}

const VIOLATIONS = [
  { title: "Block", heads: true, kind: "number", cell: (each) => number(each.block) },
  { title: "Commitment", cell: (each) => each.commitment },
  { title: "What is wrong", cell: (each) => html`<span class="long">${each.detail}</span>` },
  { title: "Stated", cell: (each) => html`<code>${text(each.stated)}</code>` },
  { title: "Computed", cell: (each) => html`<code>${text(each.computed)}</code>` },
  { title: "File", cell: (each) => html`<code>${text(each.file)}</code>` },
];
const NOT_CHECKED = [
  { title: "Commitment", heads: true, cell: (each) => each.commitment },
  { title: "Why", cell: (each) => each.reason },
  { title: "Blocks", kind: "number", cell: (each) => number(each.blocks) },
];

function text(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function Figures({ figures }) {
  return html`<dl class="figures">${figures.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
